//! What can go wrong when a model folder is read, written or used.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate. Messages say where it happened and what was expected instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as a verb: `read`, `create`, `rename` ...
        action: &'static str,
        /// The operating system's own words.
        source: std::io::Error,
    },
    /// A folder lacks a file that is needed.
    #[error("{folder}: there is no {expected} in this folder", folder = folder.display())]
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file names that would have done.
        expected: String,
    },
    /// What was given for a model is neither a folder nor something to have one from.
    #[error("{path}: {reason}", path = path.display())]
    NoFolder {
        /// What was given.
        path: PathBuf,
        /// What is there instead.
        reason: &'static str,
    },
    /// A JSON file is not JSON, or ends too early, or nests too deep.
    #[error("{path}: not valid JSON: {source}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's message with line and column.
        source: serde_json::Error,
    },
    /// A field of a configuration has a value that the model cannot have.
    #[error("{}`{field}` is {found}, expected {expected}", prefix(.path))]
    Field {
        /// The file that holds the field; `None` for a configuration built in memory.
        path: Option<PathBuf>,
        /// The field's name as Hugging Face spells it.
        field: String,
        /// The value that was found.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// An environment variable has a value that means nothing here.
    #[error("{variable} is `{found}`, expected {expected}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Its value.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A binary or text file does not follow its format.
    #[error("{path}: malformed {format}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's name: `safetensors`, `pytorch_model.bin`, `HDF5` ...
        format: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// The tensors of a checkpoint are not the tensors of the configured model.
    #[error("{path}: the tensors do not fit the configuration:{}", bullets(.problems), path = path.display())]
    Weights {
        /// The checkpoint.
        path: PathBuf,
        /// Every tensor at fault, in the order of their names.
        problems: Vec<TensorProblem>,
    },
    /// A tokenizer cannot be built from its files, or text cannot be encoded with it.
    #[error("{}{reason}", prefix(.path))]
    Tokenizer {
        /// The file at fault; `None` when the text was.
        path: Option<PathBuf>,
        /// What is wrong.
        reason: String,
    },
    /// A caller's argument is outside what the model accepts.
    #[error("`{argument}` is {found}, expected {expected}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// The value that was given.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// The requested device is not compiled in or not present.
    #[error("device `{requested}` is not available: {reason}; there are: {available}")]
    Device {
        /// What was asked for.
        requested: String,
        /// What keeps it from being used.
        reason: String,
        /// The names that would have worked.
        available: String,
    },
    /// A device failed while it computed, or could not hand its result over.
    #[error("the device failed: {reason}")]
    Compute {
        /// The backend's own words.
        reason: String,
    },
    /// A device has no memory left for what is computed.
    #[error(
        "the device is out of memory{}{}; a smaller batch, --gradient-checkpointing or --dtype bf16 needs less",
        counted(" for ", .requested, " bytes"),
        counted(", of which ", .free, " bytes are free")
    )]
    OutOfMemory {
        /// Bytes that were asked for, where the device says so.
        requested: Option<u64>,
        /// Bytes that there are, where the device says so.
        free: Option<u64>,
    },
    /// A tensor is larger than a device takes in one piece.
    #[error("{what} has {bytes} bytes in one piece, expected at most {limit} for this device")]
    TooLarge {
        /// The tensor.
        what: String,
        /// Its size.
        bytes: u64,
        /// The device's largest.
        limit: u64,
    },
    /// A device is gone: its driver was reset, or it was taken away.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// The driver's own words.
        reason: String,
    },
    /// A file could not be had from the Hugging Face hub.
    #[error("hub repository `{repo}`, file `{file}`: {reason}")]
    Hub {
        /// The repository, `owner/name`.
        repo: String,
        /// The file in it.
        file: String,
        /// What happened.
        reason: String,
    },
}

/// One tensor of a checkpoint that does not fit the model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorProblem {
    /// The model needs it and the checkpoint lacks it.
    Missing {
        /// Hugging Face name.
        name: String,
    },
    /// The checkpoint holds it and the model has no place for it.
    Unknown {
        /// Name as found in the file.
        name: String,
    },
    /// Its extents differ from the configuration's.
    Shape {
        /// Hugging Face name.
        name: String,
        /// Extents in the file.
        found: Vec<usize>,
        /// Extents that the configuration asks for.
        expected: Vec<usize>,
    },
    /// Its element type is not a floating-point type.
    DType {
        /// Hugging Face name.
        name: String,
        /// Element type in the file.
        found: String,
    },
    /// It is part of a quantized weight and not of the type that it is stored in.
    Storage {
        /// Hugging Face name.
        name: String,
        /// Element type in the file.
        found: String,
        /// Element type that the configuration asks for.
        expected: &'static str,
    },
    /// It holds NaN or infinity.
    NonFinite {
        /// Hugging Face name.
        name: String,
        /// How many elements are not finite.
        count: usize,
    },
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "{name} is missing"),
            Self::Unknown { name } => {
                write!(f, "{name} is unknown to a GPT-2 of this configuration")
            }
            Self::Shape { name, found, expected } => {
                write!(f, "{name} has shape {found:?}, expected {expected:?}")
            }
            Self::DType { name, found } => {
                write!(f, "{name} has element type {found}, expected F32, F16 or BF16")
            }
            Self::Storage { name, found, expected } => {
                write!(f, "{name} has element type {found}, expected {expected}")
            }
            Self::NonFinite { name, count } => {
                write!(f, "{name} holds {count} values that are NaN or infinite")
            }
        }
    }
}

impl Error {
    /// Wraps an I/O error with the path and the verb that it concerns; made for `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    /// A malformed file.
    pub fn format(path: impl AsRef<Path>, format: &'static str, reason: impl fmt::Display) -> Self {
        Self::Format { path: path.as_ref().to_path_buf(), format, reason: reason.to_string() }
    }

    /// A field with a wrong value, in a configuration that was not read from a file.
    pub fn field(field: &str, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::Field {
            path: None,
            field: field.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// An argument outside of its range.
    pub fn argument(
        argument: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Argument { argument, found: found.to_string(), expected: expected.to_string() }
    }

    /// A device that failed, in its runtime's words; made for `map_err`. Is [`OutOfMemory`](Self::OutOfMemory) or
    /// [`DeviceLost`](Self::DeviceLost) where they say so, else [`Compute`](Self::Compute).
    pub fn compute(reason: impl fmt::Debug) -> Self {
        crate::device::of_words(&format!("{reason:?}"))
    }

    /// Whether the device failed, and neither the data nor a file is at fault.
    #[must_use]
    pub const fn is_of_the_device(&self) -> bool {
        matches!(self, Self::Compute { .. } | Self::OutOfMemory { .. } | Self::DeviceLost { .. })
    }

    /// Says how much memory there was.
    pub(crate) fn with_free(self, bytes: Option<u64>) -> Self {
        match self {
            Self::OutOfMemory { requested, .. } => Self::OutOfMemory { requested, free: bytes },
            other => other,
        }
    }

    /// Names the file that a field or tokenizer error comes from, unless it is named already.
    #[must_use]
    pub fn in_file(self, file: impl AsRef<Path>) -> Self {
        let file = Some(file.as_ref().to_path_buf());
        match self {
            Self::Field { path: None, field, found, expected } => {
                Self::Field { path: file, field, found, expected }
            }
            Self::Tokenizer { path: None, reason } => Self::Tokenizer { path: file, reason },
            other => other,
        }
    }
}

fn prefix(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default()
}

fn counted(before: &str, count: &Option<u64>, after: &str) -> String {
    count.map(|count| format!("{before}{count}{after}")).unwrap_or_default()
}

/// How many faults are spelled out before the rest is only counted.
const LISTED: usize = 20;

fn bullets(problems: &[TensorProblem]) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(LISTED) {
        text.push_str("\n  - ");
        text.push_str(&problem.to_string());
    }
    if problems.len() > LISTED {
        text.push_str(&format!("\n  - and {} more", problems.len() - LISTED));
    }
    text
}
