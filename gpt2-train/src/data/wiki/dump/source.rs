//! Where the XML of a dump comes from.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bzip2::Bzip2;
use crate::{Error, Result};

/// Bytes that are read at once from a file that is not compressed.
const CHUNK: usize = 4 << 20;

/// Where a page begins in a file: a place from which the file can be read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Bit at which the block begins, or bit of the file where that is not compressed.
    pub bit: u64,
    /// Checksum of the blocks of the stream before that one.
    pub checksum: u32,
    /// Whether `bit` is one in a stream, and not one at which a stream begins.
    pub in_stream: bool,
    /// Bytes of the block's text before the page.
    pub skip: u64,
    /// Bytes of the XML before the page.
    pub xml: u64,
}

/// XML, and where it stands in the file.
pub struct Piece {
    /// Where it begins; `xml` is not known here.
    pub place: Place,
    pub text: Vec<u8>,
}

/// The XML of a file, in its order.
pub enum Source {
    Plain { file: File, at: u64 },
    Bzip2(Box<Bzip2>),
}

impl Source {
    /// Opens a file, and goes on at a place of it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Dump`] for a file that is neither bzip2 nor XML.
    pub fn open(path: &Path, place: Place) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(64)
            .read_to_end(&mut start)
            .map_err(Error::io("read", path))?;
        file.seek(SeekFrom::Start(place.bit / 8)).map_err(Error::io("read", path))?;
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
        if start.starts_with(b"BZh") {
            return Ok(Self::Bzip2(Box::new(Bzip2::new(path, file, place))));
        }
        if text.starts_with(b"<") {
            return Ok(Self::Plain { file, at: place.bit / 8 });
        }
        let found = match &*start {
            [] => "an empty file",
            [0x1f, 0x8b, ..] => "gzip data",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd data",
            [b'7', b'z', 0xbc, ..] => "a 7z archive",
            [0xfd, b'7', b'z', ..] => "xz data",
            _ => "something else",
        };
        Err(Error::dump(path, 0, false, format!("{found}, expected bzip2 data or XML")))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Dump`] for data that is damaged.
    pub fn next(&mut self, path: &Path) -> Result<Option<Piece>> {
        match self {
            Self::Bzip2(reader) => reader.next(),
            Self::Plain { file, at } => {
                let place = Place { bit: *at * 8, ..Place::default() };
                let mut text = Vec::with_capacity(CHUNK);
                let chunk = CHUNK as u64;
                Read::by_ref(file)
                    .take(chunk)
                    .read_to_end(&mut text)
                    .map_err(Error::io("read", path))?;
                *at += text.len() as u64;
                Ok((!text.is_empty()).then_some(Piece { place, text }))
            }
        }
    }

    /// Bytes of the file that have been used.
    pub fn position(&self) -> u64 {
        match self {
            Self::Plain { at, .. } => *at,
            Self::Bzip2(reader) => reader.position(),
        }
    }
}
