//! Sequences of equal length from shards.

use gpt2_core::Gpt2Config;
use rayon::prelude::*;

use super::Shards;
use crate::data::Example;
use crate::{Error, Result};

/// What [`blocks`](crate::data::blocks) makes of a stream in memory, of a stream on the disk.
#[derive(Debug, Clone)]
pub(in crate::data) struct ShardBlocks {
    shards: Shards,
    block_size: usize,
    ignored: Option<u32>,
}

impl ShardBlocks {
    /// # Errors
    /// [`Error::Dataset`] when the ids are not the model's, or blocks longer than its context.
    pub fn new(
        set: &'static str,
        shards: Shards,
        block_size: usize,
        config: &Gpt2Config,
    ) -> Result<Self> {
        crate::data::block_size(Some(block_size), config)?;
        if shards.vocab_size() > config.vocab_size {
            let (found, most) = (shards.vocab_size(), config.vocab_size);
            let reason =
                format!("its tokens are of a vocabulary of {found}, the model's has {most}");
            return Err(Error::Dataset { set, reason });
        }
        Ok(Self { shards, block_size, ignored: None })
    }

    /// The same blocks, in which predicting `id` never counts.
    pub fn ignoring(&self, id: u32) -> Self {
        Self { ignored: Some(id), ..self.clone() }
    }

    pub fn len(&self) -> usize {
        let whole = self.shards.tokens() / self.block_size as u64;
        match usize::try_from(whole).unwrap_or(usize::MAX) {
            0 => usize::from(self.shards.tokens() > 0),
            whole => whole,
        }
    }

    pub fn length_of(&self, index: usize) -> usize {
        assert!(index < self.len(), "there are {} blocks, not {index} and one more", self.len());
        // Only a stream that is shorter than a block has one that is.
        usize::try_from(self.shards.tokens()).map_or(self.block_size, |n| n.min(self.block_size))
    }

    pub fn example(&self, index: usize) -> Result<Example> {
        let from = index as u64 * self.block_size as u64;
        let example = Example::new(self.shards.read(from, self.length_of(index))?);
        Ok(match self.ignored {
            Some(id) => example.ignoring(id),
            None => example,
        })
    }

    /// Number of predictions that count; reads everything where some ids do not.
    pub fn scored(&self) -> Result<usize> {
        match self.ignored {
            None if self.len() == 0 => Ok(0),
            None => Ok(self.len().saturating_mul(self.length_of(0) - 1)),
            Some(_) => {
                let scored = |index| self.example(index).map(|example| example.scored());
                (0..self.len()).into_par_iter().map(scored).sum()
            }
        }
    }

    /// A hash of the content, without a look at it.
    pub fn fingerprint(&self) -> String {
        let ignored = self.ignored.map_or(String::new(), |id| format!("-ignoring-{id}"));
        format!("{:032x}-by-{}{ignored}", self.shards.checksum(), self.block_size)
    }
}
