//! Learning a vocabulary from text.
//!
//! Both kinds are learned from distinct words and their numbers, so a corpus is read once, in batches, and never held.

mod bpe;
mod unigram;
mod words;

pub use self::bpe::{BpeTrainer, TrainBpeOptions};
pub use self::unigram::{Normalization, TrainUnigramOptions, UnigramTrainer};

use crate::{Error, Result};

/// The least that memory can be limited to, in bytes.
const LEAST_MEMORY: u64 = 64 << 20;

/// How far learning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainProgress {
    /// What is being done, in a word or two; stages follow one another.
    pub stage: &'static str,
    /// Steps of this stage that are done.
    pub done: usize,
    /// Steps of this stage, as far as can be told.
    pub total: usize,
}

/// What a limit of memory has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Rare words that were taken out of the table. A word that comes again is counted again.
    pub words: u64,
    /// How often they had occurred.
    pub occurrences: u64,
}

fn check_memory(limit: Option<u64>) -> Result<()> {
    match limit {
        Some(limit) if limit < LEAST_MEMORY => {
            let expected = format!("at least {LEAST_MEMORY} bytes");
            Err(Error::argument("memory_limit", limit, expected))
        }
        _ => Ok(()),
    }
}

fn no_text() -> Error {
    let reason = "there is no text to train on, expected at least one character".to_string();
    Error::Tokenizer { path: None, reason }
}
