//! From bytes to text.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is done with bytes of a text that are not UTF-8; the names are those of Python's `open(errors=..)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum EncodingErrors {
    /// An error that names the file, the line and the byte
    #[default]
    Strict,
    /// U+FFFD is read in their place
    Replace,
}

impl EncodingErrors {
    /// The text of a line's bytes. For messages: the line is number `line` of `path` and begins behind `offset` bytes.
    ///
    /// One U+FFFD stands for each longest beginning of a character, as in Python.
    ///
    /// # Errors
    /// [`Error::Encoding`] for bytes that are not UTF-8, unless they are replaced.
    ///
    /// # Example
    /// ```
    /// use gpt2_train::data::EncodingErrors;
    ///
    /// let latin_1 = b"caf\xE9\n".to_vec();
    /// let text = EncodingErrors::Replace.decode("menu.txt", 1, 0, latin_1)?;
    /// assert_eq!(text, "caf\u{FFFD}\n");
    /// # Ok::<(), gpt2_train::Error>(())
    /// ```
    pub fn decode(
        self,
        path: impl AsRef<Path>,
        line: usize,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<String> {
        String::from_utf8(bytes).or_else(|error| match self {
            Self::Replace => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
            Self::Strict => Err(Error::Encoding {
                path: path.as_ref().to_path_buf(),
                line,
                offset: offset + error.utf8_error().valid_up_to() as u64,
            }),
        })
    }
}
