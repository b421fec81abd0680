//! From files to batches: documents, splits, blocks, orders; tokens in memory or on the disk.

mod batch;
mod blocks;
mod clean;
mod corpus;
mod dataset;
mod document;
mod encoding;
mod inputs;
mod lines;
mod order;
mod shards;
mod split;
mod text_shards;
mod texts;
mod wiki;
mod work_folder;

pub use batch::ClmBatch;
pub use blocks::{block_size, blocks, join, window_examples};
pub use clean::{
    CleanOptions, CleanReport, Dedup, DropExample, DropReason, Dropped, KeptOriginal, NearOptions,
    Normalization, SentenceSplitter, ShingleUnit, TextCount, clean_files,
};
pub use corpus::{Input, read_corpus};
pub use dataset::Dataset;
pub use document::{Document, TextOptions, TextUnit, parse_jsonl, read_documents};
pub use encoding::EncodingErrors;
pub use inputs::find_files;
pub use order::epoch_order;
pub use shards::{
    Manifest, ShardEntry, ShardFolder, ShardJob, Shards, SplitEntry, TokenizeOptions,
    TokenizeProgress, tokenize_files,
};
pub use split::{Split, SplitBy, Splits, split};
pub use text_shards::TextFormat;
pub use texts::{TextBatch, TextBatches};
pub use wiki::{
    WikiCounts, WikiDropped, WikiDump, WikiJob, WikiManifest, WikiOptions, WikiProgress, WikiShard,
    extract_wiki, wikitext_to_text,
};

use gpt2_core::Gpt2Config;

use crate::{Error, Result};

/// Label of a position that does not count, as in PyTorch.
pub const IGNORED: i64 = -100;

/// One training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// For each position the id that position stands for, or [`IGNORED`]; `None` means the ids
    /// themselves. The shift by one happens inside, as in `transformers`.
    pub labels: Option<Vec<i64>>,
}

impl Example {
    /// A sequence in which every token counts.
    #[must_use]
    pub fn new(input_ids: Vec<u32>) -> Self {
        Self { input_ids, labels: None }
    }

    /// The id that the model must predict at `position`, if that prediction counts.
    #[must_use]
    pub fn target(&self, position: usize) -> Option<u32> {
        let next = position + 1;
        match &self.labels {
            None => self.input_ids.get(next).copied(),
            Some(labels) => labels.get(next).and_then(|&label| u32::try_from(label).ok()),
        }
    }

    /// Checks length, ids and labels against a model; messages call the data `set`.
    ///
    /// # Errors
    /// [`Error::Core`] for an id or length outside of the model's tables, [`Error::Dataset`] for
    /// labels that are not as many as the ids or that no token has.
    pub fn check(&self, set: &'static str, config: &Gpt2Config) -> Result<()> {
        let length = self.input_ids.len();
        gpt2_core::model::batch::check_length(length, config)?;
        gpt2_core::model::batch::check_ids(&self.input_ids, config)?;
        match &self.labels {
            Some(labels) => check_labels(set, labels, length, config.vocab_size),
            None => Ok(()),
        }
    }

    /// The same sequence, in which predicting `id` never counts: padding, as Keras masks it.
    #[must_use]
    pub fn ignoring(self, id: u32) -> Self {
        let own = |input_ids: &[u32]| input_ids.iter().map(|&id| i64::from(id)).collect();
        let mut labels = self.labels.unwrap_or_else(|| own(&self.input_ids));
        for label in labels.iter_mut().filter(|label| **label == i64::from(id)) {
            *label = IGNORED;
        }
        Self { input_ids: self.input_ids, labels: Some(labels) }
    }

    /// Number of predictions that count.
    #[must_use]
    pub fn scored(&self) -> usize {
        (0..self.input_ids.len()).filter(|&position| self.target(position).is_some()).count()
    }
}

fn check_labels(set: &'static str, labels: &[i64], length: usize, vocab_size: usize) -> Result<()> {
    if labels.len() != length {
        let reason = format!("a sequence has {length} input_ids and {} labels", labels.len());
        return Err(Error::Dataset { set, reason });
    }
    let known = |label: i64| label == IGNORED || (0..vocab_size as i64).contains(&label);
    match labels.iter().find(|&&label| !known(label)) {
        None => Ok(()),
        Some(label) => {
            let reason = format!("label {label} is neither {IGNORED} nor in 0..{vocab_size}");
            Err(Error::Dataset { set, reason })
        }
    }
}
