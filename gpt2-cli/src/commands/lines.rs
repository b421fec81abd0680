//! Lines of text of what a command reads.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use gpt2_train::data::EncodingErrors;

use super::Failure;

/// The lines of a file or of standard input that are not blank.
pub struct TextLines<R> {
    name: PathBuf,
    reader: R,
    encoding_errors: EncodingErrors,
    number: usize,
    offset: u64,
}

impl<R: BufRead> TextLines<R> {
    /// Lines of what messages call `name`.
    pub fn new(name: &Path, reader: R, encoding_errors: EncodingErrors) -> Self {
        Self { name: name.to_path_buf(), reader, encoding_errors, number: 0, offset: 0 }
    }

    /// The next line and its number, counted from 1.
    pub fn next(&mut self) -> Result<Option<(usize, String)>, Failure> {
        loop {
            let mut bytes = Vec::new();
            self.number += 1;
            let read = self.reader.read_until(b'\n', &mut bytes).map_err(|error| {
                format!("{}, line {}: cannot read: {error}", self.name.display(), self.number)
            })?;
            if read == 0 {
                return Ok(None);
            }
            let line = self.encoding_errors.decode(&self.name, self.number, self.offset, bytes)?;
            self.offset += read as u64;
            if !line.trim().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }
}
