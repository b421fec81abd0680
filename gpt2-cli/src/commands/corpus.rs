//! Data of `gpt2 train`, `gpt2 eval` and `gpt2 data tokenize`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gpt2_core::Gpt2Config;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::data::{
    Document, EncodingErrors, ShardFolder, Split, SplitBy, Splits, TextOptions, TextUnit,
    block_size, blocks, find_files, read_corpus,
};
use gpt2_train::{Dataset, Example};
use rayon::prelude::*;

use super::Failure;

/// What stands between documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentSeparator {
    /// The end-of-text token, if the tokenizer has one
    Eos,
    /// Nothing
    None,
}

impl DocumentSeparator {
    /// The id; without a choice the end-of-text token where there is one.
    pub fn id(choice: Option<Self>, tokenizer: Option<&Tokenizer>) -> Result<Option<u32>, Failure> {
        let eos = tokenizer.and_then(|tokenizer| tokenizer.eos_token_id());
        match choice {
            None => Ok(eos),
            Some(Self::None) => Ok(None),
            Some(Self::Eos) if eos.is_none() && tokenizer.is_some() => {
                Err("`document-separator` is eos, but the tokenizer has no end-of-text token"
                    .into())
            }
            Some(Self::Eos) => Ok(eos),
        }
    }
}

/// How bytes become text.
#[derive(Debug, Clone, Args)]
pub struct EncodingArgs {
    /// What is done with bytes that are not UTF-8
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub encoding_errors: EncodingErrors,
}

impl EncodingArgs {
    /// How files are read, of which each document is such a unit.
    pub fn of(&self, unit: TextUnit) -> TextOptions {
        TextOptions { unit, encoding_errors: self.encoding_errors }
    }
}

/// Options that divide a corpus.
#[derive(Debug, Clone, Args)]
pub struct SplitArgs {
    /// Share of the documents to hold out for validation
    #[arg(long, value_name = "X")]
    pub valid_fraction: Option<f64>,
    /// First lines of the data, blank ones included, to hold out for validation
    #[arg(long, value_name = "N", conflicts_with = "valid_fraction")]
    pub valid_lines: Option<usize>,
    /// Next lines of the data, to hold out for one evaluation at the end
    #[arg(long, value_name = "M", conflicts_with = "valid_fraction")]
    pub test_lines: Option<usize>,
}

impl SplitArgs {
    /// How the corpus is divided; the seed draws what a fraction holds out.
    pub fn by(&self, seed: u64) -> SplitBy {
        match (self.valid_fraction, self.valid_lines, self.test_lines) {
            (Some(valid), ..) => SplitBy::Fraction { valid, seed },
            (None, None, None) => SplitBy::Nothing,
            (None, valid, test) => {
                SplitBy::Lines { valid: valid.unwrap_or(0), test: test.unwrap_or(0) }
            }
        }
    }

    /// Name of the first option that is given.
    fn given(&self) -> Option<&'static str> {
        let lines = self.valid_lines.map(|_| "valid-lines");
        let lines = lines.or(self.test_lines.map(|_| "test-lines"));
        self.valid_fraction.map(|_| "valid-fraction").or(lines)
    }
}

/// Data options of `gpt2 train`.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Training data: files, folders of them or patterns such as 'stories/*.txt'; `.txt` (blank lines separate
    /// documents), `.jsonl` (`text`, or `input_ids` and `labels`), or one folder made by `gpt2 data tokenize`
    #[arg(long, required = true, num_args = 1.., value_name = "F")]
    pub data: Vec<PathBuf>,
    /// Validation data, in the forms of the training data
    #[arg(long, num_args = 1.., value_name = "F", conflicts_with_all = ["valid_fraction", "valid_lines"])]
    pub valid_data: Vec<PathBuf>,
    /// How documents are held out.
    #[command(flatten)]
    pub split: SplitArgs,
    /// How bytes become text.
    #[command(flatten)]
    pub encoding: EncodingArgs,
    /// What stands between documents [default: eos, if the tokenizer has one]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub document_separator: Option<DocumentSeparator>,
    /// Tokens of a training sequence [default: the model's context]
    #[arg(long, value_name = "N")]
    pub block_size: Option<usize>,
}

impl DataArgs {
    /// Whether there will be validation data.
    pub fn has_validation(&self) -> Result<bool, Failure> {
        let held_out =
            self.split.valid_fraction.is_some() || self.split.valid_lines.is_some_and(|n| n > 0);
        Ok(match shard_folder(&self.data)? {
            _ if held_out || !self.valid_data.is_empty() => true,
            Some(folder) => folder.has(Split::Valid),
            None => false,
        })
    }

    /// All paths that are read.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut inputs = Vec::new();
        for paths in [&self.data, &self.valid_data] {
            match shard_folder(paths)? {
                Some(_) => inputs.extend_from_slice(paths),
                None => inputs.extend(find_files(paths)?),
            }
        }
        Ok(inputs)
    }

    /// The parts that there are, in blocks; the seed draws what a fraction holds out.
    pub fn datasets(
        &self,
        config: &Gpt2Config,
        tokenizer: Option<&Tokenizer>,
        seed: u64,
    ) -> Result<Splits<Option<Dataset>>, Failure> {
        let block_size = block_size(self.block_size, config)?;
        let model = Model { config, tokenizer, block_size };
        let mut datasets = match shard_folder(&self.data)? {
            Some(folder) => {
                if let Some(option) = self.split.given() {
                    return Err(made_before(option, &self.data[0]));
                }
                let mut datasets = Splits::default();
                for split in Split::ALL.into_iter().filter(|&split| folder.has(split)) {
                    *datasets.get_mut(split) = Some(self.of_shards(&folder, split, split, &model)?);
                }
                datasets
            }
            None => {
                let by = self.split.by(seed);
                let files = find_files(&self.data)?;
                let options = self.encoding.of(TextUnit::Paragraph);
                let documents = read_corpus(&files, options, by, config)?;
                self.of_documents(documents, by, &model)?
            }
        };
        if !self.valid_data.is_empty() {
            datasets.valid = Some(self.validation(&model)?);
        }
        Ok(datasets)
    }

    /// What `--valid-data` names.
    fn validation(&self, model: &Model) -> Result<Dataset, Failure> {
        if let Some(folder) = shard_folder(&self.valid_data)? {
            let from = if folder.has(Split::Valid) { Split::Valid } else { Split::Train };
            return self.of_shards(&folder, Split::Valid, from, model);
        }
        let files = find_files(&self.valid_data)?;
        let (options, by) = (self.encoding.of(TextUnit::Paragraph), SplitBy::Nothing);
        let documents = read_corpus(&files, options, by, model.config)?.train;
        self.of_part(Split::Valid, documents, model)
    }

    fn of_documents(
        &self,
        documents: Splits<Vec<Document>>,
        by: SplitBy,
        model: &Model,
    ) -> Result<Splits<Option<Dataset>>, Failure> {
        let (has_valid, has_test) = match by {
            SplitBy::Nothing => (false, false),
            SplitBy::Fraction { .. } => (true, false),
            SplitBy::Lines { valid, test } => (valid > 0, test > 0),
        };
        let part = |split, there: bool, documents| {
            there.then(|| self.of_part(split, documents, model)).transpose()
        };
        Ok(Splits {
            train: part(Split::Train, true, documents.train)?,
            valid: part(Split::Valid, has_valid, documents.valid)?,
            test: part(Split::Test, has_test, documents.test)?,
        })
    }

    fn of_part(
        &self,
        split: Split,
        documents: Vec<Document>,
        model: &Model,
    ) -> Result<Dataset, Failure> {
        let tokenized = tokenize(documents, model.tokenizer)?;
        let separator = DocumentSeparator::id(self.document_separator, model.tokenizer)?;
        let mut examples = blocks(&tokenized.texts, separator, model.block_size);
        examples.extend(tokenized.records);
        Ok(Dataset::new(split.set(), examples, model.config)?)
    }

    fn of_shards(
        &self,
        folder: &ShardFolder,
        split: Split,
        from: Split,
        model: &Model,
    ) -> Result<Dataset, Failure> {
        if self.document_separator.is_some() {
            return Err(made_before("document-separator", folder.path()));
        }
        shards(folder, split.set(), from, model)
    }
}

/// What data must fit.
pub struct Model<'a> {
    pub config: &'a Gpt2Config,
    pub tokenizer: Option<&'a Tokenizer>,
    pub block_size: usize,
}

/// A part of a folder of shards in blocks.
pub fn shards(
    folder: &ShardFolder,
    set: &'static str,
    from: Split,
    model: &Model,
) -> Result<Dataset, Failure> {
    if let Some(tokenizer) = model.tokenizer {
        folder.check_tokenizer(tokenizer)?;
    }
    Ok(Dataset::from_shards(set, folder.shards(from)?, model.block_size, model.config)?)
}

/// The refusal of an option that only `gpt2 data tokenize` can obey.
pub fn made_before(option: &str, folder: &Path) -> Failure {
    let folder = folder.display();
    format!("`{option}`: {folder} was tokenized before, and this was settled then").into()
}

/// The folder of shards that these paths are, if they are one.
pub fn shard_folder(paths: &[PathBuf]) -> Result<Option<ShardFolder>, Failure> {
    match paths.iter().find(|path| ShardFolder::is_one(path)) {
        None => Ok(None),
        Some(path) if paths.len() == 1 => Ok(Some(ShardFolder::open(path)?)),
        Some(path) => {
            let path = path.display();
            Err(format!("{path}: a folder made by `gpt2 data tokenize`, expected alone").into())
        }
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

/// Whether a tokenizer is needed to use the documents.
pub fn have_text(documents: &[Document]) -> bool {
    documents.iter().any(|document| matches!(document, Document::Text(_)))
}

/// Encodes what is text.
pub fn tokenize(
    documents: Vec<Document>,
    tokenizer: Option<&Tokenizer>,
) -> Result<Tokenized, Failure> {
    let (mut texts, mut records) = (Vec::new(), Vec::new());
    for document in documents {
        match document {
            Document::Tokens(record) => records.push(record),
            Document::Text(text) => texts.push(text),
        }
    }
    let texts = match tokenizer {
        Some(tokenizer) => {
            texts.par_iter().map(|text| tokenizer.encode_ids(text)).collect::<Result<_, _>>()?
        }
        None if texts.is_empty() => Vec::new(),
        None => return Err("the data is text, and the model folder has no tokenizer".into()),
    };
    Ok(Tokenized { texts, records })
}
