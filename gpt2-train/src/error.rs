//! What can go wrong while preparing data and training.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate. Messages say where it happened and what was expected instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, its folder or its tokenizer.
    #[error(transparent)]
    Core(#[from] gpt2_core::Error),
    /// The operating system refused to read or write a file.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as a verb.
        action: &'static str,
        /// The operating system's own words.
        source: std::io::Error,
    },
    /// A data file holds something that is no training text.
    #[error("{path}{at}: {reason}", path = path.display(), at = at_line(.line))]
    Data {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, where it is known.
        line: Option<usize>,
        /// What was found and what was expected.
        reason: String,
    },
    /// A dump is damaged, or none.
    #[error("{path}, byte {offset}{of}: {reason}", path = path.display(), of = of_xml(*.in_xml))]
    Dump {
        /// The file.
        path: PathBuf,
        /// Byte of the file, or of the XML in it, counted from 0.
        offset: u64,
        /// Whether the byte is one of the XML that a compressed file holds.
        in_xml: bool,
        /// What was found and what was expected.
        reason: String,
    },
    /// A text has bytes that are not UTF-8.
    #[error(
        "{path}, line {line}: byte {offset} of the file is not UTF-8; expected UTF-8, or --encoding-errors replace, which \
         reads U+FFFD there",
        path = path.display()
    )]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Number of bytes of the file before the first that is wrong.
        offset: u64,
    },
    /// The data as a whole cannot be trained on.
    #[error("the {set} data: {reason}")]
    Dataset {
        /// `training`, `validation`, `test` or `evaluation`.
        set: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An option has a value that cannot be used.
    #[error("`{option}` is {found}, expected {expected}")]
    Option {
        /// The option's name as Hugging Face spells it.
        option: &'static str,
        /// The value that was given.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A checkpoint is of another run than the one that is to go on.
    #[error("{path}: `{field}` is {found}, expected {expected} as in this run", path = path.display())]
    OtherRun {
        /// The file in the checkpoint that says so.
        path: PathBuf,
        /// The first field that differs, by its path.
        field: String,
        /// Its value in the checkpoint, as JSON.
        found: String,
        /// Its value in this run, as JSON.
        expected: String,
    },
    /// A run is to start anew where an unfinished one has left checkpoints.
    #[error(
        "{checkpoint} is of a run that did not come to its end; resume it, overwrite it or choose \
         another folder",
        checkpoint = checkpoint.display()
    )]
    EarlierRun {
        /// Its latest checkpoint.
        checkpoint: PathBuf,
    },
    /// Another run keeps its checkpoints in this folder at this moment.
    #[error("{folder}: another run is writing here", folder = folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The loss or the gradient is NaN or infinite; training cannot go on from here.
    #[error(
        "the {quantity} is {value} at step {step}; a lower learning rate or clipping may help{}",
        last_checkpoint(.checkpoint)
    )]
    NonFinite {
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// The value.
        value: f64,
        /// Optimizer step, counted from 1.
        step: usize,
        /// The last checkpoint, where there is one.
        checkpoint: Option<PathBuf>,
    },
    /// The device failed in the middle of a run.
    #[error("after step {step}: {source}{}", last_checkpoint(.checkpoint))]
    Device {
        /// Optimizer steps done.
        step: usize,
        /// What happened to it.
        source: Box<gpt2_core::Error>,
        /// The last checkpoint, where there is one. It is whole: checkpoints appear as such or not at all.
        checkpoint: Option<PathBuf>,
    },
    /// The sampler of a [`RunLog`](crate::report::RunLog) could not write its texts.
    #[error("no samples at step {step}: {source}")]
    Samples {
        /// Steps done.
        step: usize,
        /// The sampler's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps an I/O error with the path and the verb that it concerns; made for `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    /// Of an error that ends a run: the checkpoint that is left.
    pub(crate) fn with_checkpoint(self, last: Option<&PathBuf>) -> Self {
        match self {
            Self::NonFinite { quantity, value, step, checkpoint: None } => {
                Self::NonFinite { quantity, value, step, checkpoint: last.cloned() }
            }
            other => other,
        }
    }

    /// Of a device's error in a run: how far it had come, and what is left of it.
    pub(crate) fn of_device_after(self, step: usize, checkpoint: Option<PathBuf>) -> Self {
        match self {
            Self::Core(source) if source.is_of_the_device() => {
                Self::Device { step, source: Box::new(source), checkpoint }
            }
            other => other,
        }
    }

    pub(crate) fn data(
        path: &Path,
        line: impl Into<Option<usize>>,
        reason: impl fmt::Display,
    ) -> Self {
        Self::Data { path: path.to_path_buf(), line: line.into(), reason: reason.to_string() }
    }

    pub(crate) fn dump(path: &Path, offset: u64, in_xml: bool, reason: impl fmt::Display) -> Self {
        Self::Dump { path: path.to_path_buf(), offset, in_xml, reason: reason.to_string() }
    }

    /// What TOML says of a text, with the line where it says it.
    pub(crate) fn toml<'a>(
        path: &'a Path,
        text: &'a str,
    ) -> impl FnOnce(toml::de::Error) -> Self + 'a {
        move |error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            Self::data(path, line, error.message())
        }
    }

    pub(crate) fn option(
        option: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Option { option, found: found.to_string(), expected: expected.to_string() }
    }
}

fn last_checkpoint(checkpoint: &Option<PathBuf>) -> String {
    let text = |path: &PathBuf| format!("; the last checkpoint is {}", path.display());
    checkpoint.as_ref().map(text).unwrap_or_default()
}

fn of_xml(in_xml: bool) -> &'static str {
    if in_xml { " of the XML" } else { "" }
}

fn at_line(line: &Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_fails_is_told_with_the_step_and_what_is_left() {
        let failed = || Error::Core(gpt2_core::Error::compute("a reset"));
        let error = failed().of_device_after(7, Some(PathBuf::from("run/step-5"))).to_string();
        assert!(error.starts_with("after step 7: the device failed: "), "{error}");
        assert!(error.ends_with("; the last checkpoint is run/step-5"), "{error}");
        assert!(failed().of_device_after(1, None).to_string().ends_with("a reset\""));
        let other = Error::option("seed", 1, "another").of_device_after(7, None).to_string();
        assert!(!other.contains("step"), "{other}");
    }
}
