//! A text file line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::{Error, Result};

/// Reads lines, and knows where it is and what it has read.
pub(super) struct LineReader {
    path: PathBuf,
    reader: BufReader<File>,
    line: String,
    number: usize,
    offset: u64,
    /// Of all bytes that were read.
    hash: Xxh3,
}

impl LineReader {
    /// Goes on behind the first `number` lines, which are `offset` bytes.
    pub fn open(path: &Path, offset: u64, number: usize) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", path))?;
        }
        let reader = BufReader::with_capacity(1 << 17, file);
        let path = path.to_path_buf();
        Ok(Self { path, reader, line: String::new(), number, offset, hash: Xxh3::new() })
    }

    /// Reads the next line; says whether there is one.
    pub fn advance(&mut self) -> Result<bool> {
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        bytes.clear();
        let read = self.reader.read_until(b'\n', &mut bytes);
        let read = read.map_err(Error::io("read", &self.path))?;
        if read == 0 {
            return Ok(false);
        }
        self.hash.update(&bytes);
        self.offset += read as u64;
        self.number += 1;
        let not_text = |_| Error::data(&self.path, self.number, "the line is not UTF-8 text");
        self.line = String::from_utf8(bytes).map_err(not_text)?;
        Ok(true)
    }

    /// The line, its end included.
    pub fn line(&self) -> &str {
        &self.line
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the last line, counted from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Bytes of the file before the next line.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Hash of the lines that this reader has read.
    pub fn checksum(&self) -> u128 {
        self.hash.digest128()
    }
}
