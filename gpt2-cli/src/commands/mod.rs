//! One command a file.

pub mod convert;
pub mod devices;
pub mod eval;
pub mod forward;
pub mod generate;
pub mod info;
pub mod next;
pub mod tokens;
pub mod train;

use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::Example;
use gpt2_train::data::Document;

/// Any failure on its way to standard error; a binary has nobody else to tell.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a command returns.
pub type Outcome = Result<(), Failure>;

/// Documents as token ids, apart from the records that were tokens already.
#[derive(Debug, Default)]
pub struct Tokenized {
    /// Documents.
    pub texts: Vec<Vec<u32>>,
    /// Records that are used as they are.
    pub records: Vec<Example>,
}

/// Reads files with `read` and encodes what is text in them.
///
/// The tokenizer is only asked for when there is text, so a folder without one can still be used
/// with tokenized records.
pub fn tokenize(
    documents: Vec<Document>,
    tokenizer: Option<&Tokenizer>,
) -> Result<Tokenized, Failure> {
    let mut result = Tokenized::default();
    for document in documents {
        match (document, tokenizer) {
            (Document::Tokens(record), _) => result.records.push(record),
            (Document::Text(text), Some(tokenizer)) => {
                result.texts.push(tokenizer.encode_ids(&text)?);
            }
            (Document::Text(_), None) => {
                return Err("the data is text, and the model folder has no tokenizer".into());
            }
        }
    }
    Ok(result)
}

/// Reads all files, one after the other.
pub fn read_all(
    files: &[PathBuf],
    read: impl Fn(&Path) -> gpt2_train::Result<Vec<Document>>,
) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read(file)?);
    }
    Ok(documents)
}
