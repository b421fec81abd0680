//! A text file line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::encoding::EncodingErrors;
use crate::{Error, Result};

/// Reads lines, and knows where it is and what it has read.
pub(super) struct LineReader {
    path: PathBuf,
    reader: BufReader<File>,
    encoding_errors: EncodingErrors,
    line: String,
    number: usize,
    offset: u64,
    /// Lines with bytes that were no text.
    replaced: u64,
    /// Of all bytes that were read.
    hash: Xxh3,
}

impl LineReader {
    /// Goes on behind the first `number` lines, which are `offset` bytes.
    pub fn open(
        path: &Path,
        encoding_errors: EncodingErrors,
        offset: u64,
        number: usize,
    ) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", path))?;
        }
        let reader = BufReader::with_capacity(1 << 17, file);
        let path = path.to_path_buf();
        let (line, hash) = (String::new(), Xxh3::new());
        Ok(Self { path, reader, encoding_errors, line, number, offset, replaced: 0, hash })
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
        self.number += 1;
        self.line = String::from_utf8(bytes).or_else(|error| {
            self.replaced += 1;
            let bytes = error.into_bytes();
            self.encoding_errors.decode(&self.path, self.number, self.offset, bytes)
        })?;
        self.offset += read as u64;
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

    /// Number of lines that this reader has read in which bytes were replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Hash of the lines that this reader has read.
    pub fn checksum(&self) -> u128 {
        self.hash.digest128()
    }
}
