//! What can go wrong when text is generated.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate. Messages say where it happened and what was expected instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, or a file of its folder.
    #[error(transparent)]
    Core(gpt2_core::Error),
    /// An option of generation has a value that cannot be used.
    #[error("{}`{option}` is {found}, expected {expected}", prefix(.path))]
    Option {
        /// The file that holds the option; `None` for one that the caller gave.
        path: Option<PathBuf>,
        /// The option's name as Hugging Face spells it.
        option: String,
        /// The value that was found.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// An option of generation that this version does not implement, at a value that would change
    /// the text.
    #[error(
        "{}`{option}` is {found}, expected {expected}: `{option}` is not implemented in this version",
        prefix(.path)
    )]
    NotImplemented {
        /// The file that holds the option; `None` for one that the caller gave.
        path: Option<PathBuf>,
        /// The option's name as Hugging Face spells it.
        option: String,
        /// The value that was found.
        found: String,
        /// The value at which the option changes nothing.
        expected: String,
    },
    /// A key that no version of Hugging Face's `GenerationConfig` has.
    #[error("{}`{option}` is not an option of generation", prefix(.path))]
    UnknownOption {
        /// The file that holds the key; `None` for one that the caller gave.
        path: Option<PathBuf>,
        /// The key.
        option: String,
    },
    /// A prompt that the model cannot continue.
    #[error("prompt {index} has {found}, expected {expected}")]
    Prompt {
        /// Which of the prompts, counted from 0.
        index: usize,
        /// What it has.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A text whose loss cannot be measured.
    #[error("the text has {found}, expected {expected}")]
    Text {
        /// What it has.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A continuation of a prompt that cannot be scored.
    #[error("continuation {index} has {found}, expected {expected}")]
    Continuation {
        /// Which of the continuations, counted from 0.
        index: usize,
        /// What it has.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// The scores of the next token leave nothing to choose from.
    #[error("no token can follow the {length} tokens of a sequence: {reason}")]
    NoToken {
        /// Tokens of the sequence so far, the prompt included.
        length: usize,
        /// Why none is left.
        reason: &'static str,
    },
    /// The operating system gives no thread to compute in, or the thread has panicked.
    #[error("the thread that generates text failed")]
    Thread(#[source] std::io::Error),
}

impl From<gpt2_core::Error> for Error {
    /// A wrong field is an option here, wherever it was found.
    fn from(error: gpt2_core::Error) -> Self {
        match error {
            gpt2_core::Error::Field { path, field, found, expected } => {
                Self::Option { path, option: field, found, expected }
            }
            other => Self::Core(other),
        }
    }
}

impl Error {
    /// An option with a wrong value, not read from a file.
    pub fn option(
        option: impl Into<String>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Option {
            path: None,
            option: option.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// A prompt that cannot be continued.
    pub(crate) fn prompt(
        index: usize,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Prompt { index, found: found.to_string(), expected: expected.to_string() }
    }

    /// A text whose loss cannot be measured.
    pub(crate) fn text(found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::Text { found: found.to_string(), expected: expected.to_string() }
    }

    /// A continuation that cannot be scored.
    pub(crate) fn continuation(
        index: usize,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Continuation { index, found: found.to_string(), expected: expected.to_string() }
    }

    /// Names the file that an option comes from, unless it is named already.
    #[must_use]
    pub fn in_file(self, file: impl AsRef<Path>) -> Self {
        let file = Some(file.as_ref().to_path_buf());
        match self {
            Self::Option { path: None, option, found, expected } => {
                Self::Option { path: file, option, found, expected }
            }
            Self::NotImplemented { path: None, option, found, expected } => {
                Self::NotImplemented { path: file, option, found, expected }
            }
            Self::UnknownOption { path: None, option } => {
                Self::UnknownOption { path: file, option }
            }
            other => other,
        }
    }
}

fn prefix(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default()
}
