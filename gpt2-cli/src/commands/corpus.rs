//! Data files of `gpt2 eval` and `gpt2 train`.

use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::Gpt2Config;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::data::{Document, block_size, blocks, read_documents, split};
use gpt2_train::{Dataset, Example};

use super::Failure;

/// Data options of `gpt2 train` and `gpt2 lr-find`.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Training data: `.txt` (blank lines separate documents) or `.jsonl` (`text`, or `input_ids`
    /// and `labels`)
    #[arg(long, required = true, num_args = 1.., value_name = "F")]
    pub data: Vec<PathBuf>,
    /// Validation data, in the forms of the training data
    #[arg(long, num_args = 1.., value_name = "F", conflicts_with = "valid_fraction")]
    pub valid_data: Vec<PathBuf>,
    /// Share of the documents to hold out for validation
    #[arg(long, value_name = "X")]
    pub valid_fraction: Option<f64>,
    /// Tokens of a training sequence [default: the model's context]
    #[arg(long, value_name = "N")]
    pub block_size: Option<usize>,
}

/// What the data options give.
#[derive(Debug)]
pub struct Datasets {
    pub train: Dataset,
    pub valid: Option<Dataset>,
}

impl DataArgs {
    /// Whether there will be validation data.
    pub fn has_validation(&self) -> bool {
        self.valid_fraction.is_some() || !self.valid_data.is_empty()
    }

    /// All paths that are read.
    pub fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.data.iter().chain(&self.valid_data)
    }

    /// The data in blocks; the seed draws what a fraction holds out.
    pub fn datasets(
        &self,
        config: &Gpt2Config,
        tokenizer: Option<&Tokenizer>,
        seed: u64,
    ) -> Result<Datasets, Failure> {
        let block_size = block_size(self.block_size, config)?;
        let dataset = |set, documents| -> Result<Dataset, Failure> {
            let tokenized = tokenize(documents, tokenizer)?;
            let separator = tokenizer.and_then(|tokenizer| tokenizer.eos_token_id());
            let mut examples = blocks(&tokenized.texts, separator, block_size);
            examples.extend(tokenized.records);
            Ok(Dataset::new(set, examples, config)?)
        };
        let read = |files, set| read_all(files, set, config, |file| read_documents(file));
        let documents = read(&self.data, "training")?;
        let (train, valid) = match self.valid_fraction {
            Some(fraction) => {
                let (train, valid) = split(documents, fraction, seed)?;
                (train, Some(valid))
            }
            None if self.valid_data.is_empty() => (documents, None),
            None => (documents, Some(read(&self.valid_data, "validation")?)),
        };
        let train = dataset("training", train)?;
        let valid = valid.map(|valid| dataset("validation", valid)).transpose()?;
        Ok(Datasets { train, valid })
    }
}

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
