//! What stands before the first page.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape_with};
use quick_xml::events::Event;

use crate::data::wiki::site::Site;
use crate::{Error, Result};

/// Reads the beginning of a dump, up to its first page.
///
/// # Errors
/// [`Error::Dump`] for anything that is not the beginning of a `<mediawiki>` element.
pub fn read_header(path: &Path, bytes: &[u8]) -> Result<Site> {
    let fault = |offset: u64, reason: String| Error::dump(path, offset, true, reason);
    let text = str::from_utf8(bytes)
        .map_err(|error| fault(error.valid_up_to() as u64, "the text is not UTF-8".to_string()))?;
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let fault = |offset: u64, reason: String| fault(offset + mark as u64, reason);
    let mut reader = Reader::from_str(&text[mark..]);
    let mut is_wiki = false;
    let mut main_page = String::new();
    let mut namespaces = Vec::new();
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event();
        let event = event
            .map_err(|error| fault(reader.error_position(), format!("malformed XML: {error}")))?;
        let malformed = |error: quick_xml::Error| fault(at, format!("malformed XML: {error}"));
        match event {
            Event::Start(tag) if !is_wiki => {
                let name = tag.name();
                if name.as_ref() != "mediawiki" {
                    let reason =
                        format!("the root element is <{}>, expected <mediawiki>", name.as_ref());
                    return Err(fault(at, reason));
                }
                is_wiki = true;
            }
            Event::Start(tag) if tag.name().as_ref() == "base" => {
                let raw = reader.read_text(tag.name()).map_err(malformed)?;
                main_page = plain(&raw).map_err(|reason| fault(at, reason))?;
            }
            Event::Start(tag) if tag.name().as_ref() == "namespace" => {
                let key = tag
                    .try_get_attribute("key")
                    .map_err(|error| fault(at, format!("malformed XML: {error}")))?;
                let key = key.and_then(|key| key.value.parse().ok());
                let Some(key) = key else {
                    return Err(fault(
                        at,
                        "a <namespace> without a `key` that is a number".to_string(),
                    ));
                };
                let raw = reader.read_text(tag.name()).map_err(malformed)?;
                namespaces.push((key, plain(&raw).map_err(|reason| fault(at, reason))?));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match is_wiki {
        true => Ok(Site::new(&main_page, &namespaces)),
        false => Err(fault(0, "no XML element, expected <mediawiki>".to_string())),
    }
}

/// Text without character references.
pub fn plain(raw: &str) -> Result<String, String> {
    let text = unescape_with(raw, resolve_xml_entity).map_err(|error| error.to_string())?;
    Ok(text.into_owned())
}
