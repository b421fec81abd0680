//! From files, or the text that comes with a program, to documents.

use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Gpt2Config, Result as CoreResult};
use gpt2_train::Dataset;
use gpt2_train::data::{Document, block_size, blocks, parse_jsonl, read_documents};

use crate::Failure;

/// The documents of the user's files, all of which must be text.
///
/// # Errors
/// For a file that cannot be read or that holds token ids.
pub fn documents(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read_documents(file)?);
    }
    texts(documents)
}

/// The documents of a text in the form of a `.jsonl` file.
///
/// # Errors
/// For a line that is no record, or holds token ids.
pub fn stories(text: &str) -> Result<Vec<String>, Failure> {
    texts(parse_jsonl(Path::new("stories.jsonl"), text)?)
}

fn texts(documents: Vec<Document>) -> Result<Vec<String>, Failure> {
    let text = |document| match document {
        Document::Text(text) => Ok(text),
        Document::Tokens(_) => Err("documents must be text, not token ids".into()),
    };
    documents.into_iter().map(text).collect()
}

/// The paragraphs of a text, between which there are blank lines.
#[must_use]
pub fn paragraphs(text: &str) -> Vec<String> {
    let paragraphs = text.split("\n\n").map(str::trim);
    paragraphs.filter(|paragraph| !paragraph.is_empty()).map(String::from).collect()
}

/// Texts as training sequences, with the end-of-text token between documents.
pub(super) fn dataset(
    set: &'static str,
    texts: &[String],
    tokenizer: &Tokenizer,
    length: usize,
    config: &Gpt2Config,
) -> Result<Dataset, Failure> {
    let length = block_size(Some(length), config)?;
    let ids = texts.iter().map(|text| tokenizer.encode_ids(text));
    let ids = ids.collect::<CoreResult<Vec<_>>>()?;
    Ok(Dataset::new(set, blocks(&ids, tokenizer.eos_token_id(), length), config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_records_separate_documents() {
        assert_eq!(paragraphs("one\ntwo\n\n\n\nthree\n"), ["one\ntwo", "three"]);
        assert_eq!(stories("{\"text\": \"one\"}\n").unwrap(), ["one"]);
        let message = stories("{\"input_ids\": [1]}\n").unwrap_err().to_string();
        assert!(message.contains("must be text"), "{message}");
    }
}
