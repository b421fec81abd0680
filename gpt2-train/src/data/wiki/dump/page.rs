//! One page of a dump.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{EscapeError, resolve_xml_entity, unescape_with};
use quick_xml::events::{BytesStart, Event};

/// A page as a dump has it, in its last revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// Its number.
    pub id: u64,
    /// The namespace that it is in; 0 is that of articles.
    pub namespace: i32,
    /// Its title.
    pub title: Cow<'a, str>,
    /// Whether it only leads to another page.
    pub is_redirect: bool,
    /// Whether its text is wikitext.
    pub is_wikitext: bool,
    /// Its text, without the escapes of XML; empty for one that was deleted.
    pub text: Cow<'a, str>,
}

/// MediaWiki allows 255 bytes, without the name of the namespace and escapes.
const LONGEST_TITLE: usize = 4096;

/// What is wrong with a page, and at which of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at: u64,
    pub reason: String,
}

impl Fault {
    fn new(at: u64, reason: impl ToString) -> Self {
        Self { at, reason: reason.to_string() }
    }
}

/// The elements of a page that matter.
#[derive(Debug, Default)]
struct Fields<'a> {
    id: Option<u64>,
    namespace: Option<i32>,
    title: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    is_redirect: bool,
}

impl<'a> Page<'a> {
    /// Reads a page from `<page>` to `</page>`.
    pub fn parse(xml: &'a str) -> Result<Self, Fault> {
        let mut reader = Reader::from_str(xml);
        let mut fields = Fields::default();
        // Names of the elements that are open.
        let mut depth = 0;
        loop {
            let at = reader.buffer_position();
            let event = reader.read_event();
            let event = event.map_err(|error| {
                Fault::new(reader.error_position(), format!("malformed XML: {error}"))
            })?;
            match event {
                Event::Start(tag) => match depth {
                    // <page> and <revision> are gone into, all other elements are read whole.
                    0 => depth = 1,
                    1 if tag.name().as_ref() == "revision" => depth = 2,
                    _ => fields.read(&mut reader, &tag, depth)?,
                },
                Event::Empty(tag) if depth == 1 && tag.name().as_ref() == "redirect" => {
                    fields.is_redirect = true
                }
                Event::Empty(tag) if depth == 2 && tag.name().as_ref() == "text" => {
                    fields.text = Some(Cow::Borrowed(""))
                }
                Event::End(_) => depth = depth.saturating_sub(1),
                Event::Eof => return fields.page(at),
                _ => {}
            }
        }
    }
}

impl<'a> Fields<'a> {
    fn read(
        &mut self,
        reader: &mut Reader<&'a [u8]>,
        tag: &BytesStart,
        depth: usize,
    ) -> Result<(), Fault> {
        let start = reader.buffer_position();
        let raw = reader.read_text(tag.name());
        let raw = raw.map_err(|error| {
            Fault::new(reader.error_position(), format!("malformed XML: {error}"))
        })?;
        let raw = raw.into_inner();
        let number = |field: &str| {
            Fault::new(start, format!("<{field}> is {raw:?}, expected a whole number"))
        };
        let name = tag.name();
        match (depth, name.as_ref()) {
            (1, "title") if raw.len() > LONGEST_TITLE => {
                let reason =
                    format!("a <title> of {} bytes, expected at most {LONGEST_TITLE}", raw.len());
                return Err(Fault::new(start, reason));
            }
            (1, "title") => self.title = Some(unescape(raw, start)?),
            (1, "ns") => self.namespace = Some(raw.trim().parse().map_err(|_| number("ns"))?),
            (1, "id") => self.id = Some(raw.trim().parse().map_err(|_| number("id"))?),
            (1, "redirect") => self.is_redirect = true,
            (2, "model") => self.model = Some(unescape(raw, start)?),
            (2, "text") => self.text = Some(unescape(raw, start)?),
            _ => {}
        }
        Ok(())
    }

    fn page(self, end: u64) -> Result<Page<'a>, Fault> {
        let missing =
            |field: &str| Fault::new(end, format!("the page that ends here has no <{field}>"));
        Ok(Page {
            id: self.id.ok_or_else(|| missing("id"))?,
            namespace: self.namespace.ok_or_else(|| missing("ns"))?,
            title: self.title.ok_or_else(|| missing("title"))?,
            is_redirect: self.is_redirect,
            is_wikitext: self.model.is_none_or(|model| model.trim() == "wikitext"),
            text: self.text.ok_or_else(|| missing("text"))?,
        })
    }
}

/// Text without the escapes of XML; `at` is where it begins in the page.
fn unescape(raw: Cow<'_, str>, at: u64) -> Result<Cow<'_, str>, Fault> {
    let fault = |error: EscapeError| {
        let within = match &error {
            // Of the name, behind the &.
            EscapeError::UnrecognizedEntity(range, _) => range.start.saturating_sub(1),
            EscapeError::UnterminatedEntity(range) => range.start,
            _ => 0,
        };
        let reason = match error {
            EscapeError::UnrecognizedEntity(_, name) => format!("the entity &{name}; is not known"),
            EscapeError::UnterminatedEntity(_) => "an & without a ; behind it".to_string(),
            other => other.to_string(),
        };
        Fault::new(at + within as u64, reason)
    };
    match raw {
        Cow::Borrowed(raw) => unescape_with(raw, resolve_xml_entity).map_err(fault),
        Cow::Owned(raw) => {
            Ok(Cow::Owned(unescape_with(&raw, resolve_xml_entity).map_err(fault)?.into_owned()))
        }
    }
}
