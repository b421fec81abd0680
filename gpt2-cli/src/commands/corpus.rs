//! Data files of `gpt2 eval` and `gpt2 train`.

use std::path::{Path, PathBuf};

use gpt2_core::Gpt2Config;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::Example;
use gpt2_train::data::Document;

use super::Failure;

/// Documents as token ids, apart from the records that were tokens already.
#[derive(Debug, Default)]
pub struct Tokenized {
    /// Documents.
    pub texts: Vec<Vec<u32>>,
    /// Records that are used as they are.
    pub records: Vec<Example>,
}

/// Reads all files, one after the other, and checks records of tokens against the model while it
/// is known where they come from.
pub fn read_all(
    files: &[PathBuf],
    set: &'static str,
    config: &Gpt2Config,
    read: impl Fn(&Path) -> gpt2_train::Result<Vec<Document>>,
) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for file in files {
        for (index, document) in read(file)?.into_iter().enumerate() {
            if let Document::Tokens(record) = &document {
                let place = || format!("{}, record {}", file.display(), index + 1);
                record.check(set, config).map_err(|error| format!("{}: {error}", place()))?;
            }
            documents.push(document);
        }
    }
    Ok(documents)
}

/// Whether a tokenizer is needed to use the documents.
pub fn have_text(documents: &[Document]) -> bool {
    documents.iter().any(|document| matches!(document, Document::Text(_)))
}

/// Encodes what is text.
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
