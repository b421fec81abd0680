//! [`Dataset`]: sequences that a model can be trained on.

use std::borrow::Cow;
use std::sync::OnceLock;

use gpt2_core::Gpt2Config;
use xxhash_rust::xxh3::Xxh3;

use super::Example;
use super::shards::{ShardBlocks, Shards};
use crate::{Error, Result};

/// Sequences that have been checked against a model, in memory or on the disk.
#[derive(Debug, Clone)]
pub struct Dataset {
    set: &'static str,
    source: Source,
    scored: usize,
    fingerprint: OnceLock<String>,
}

/// Where sequences come from.
#[derive(Debug, Clone)]
enum Source {
    Memory(Vec<Example>),
    Shards(ShardBlocks),
}

impl Dataset {
    /// Checks every sequence: length, ids, labels.
    ///
    /// # Errors
    /// [`Error::Dataset`] when there is nothing to predict; what [`Example::check`] says of each.
    pub fn new(set: &'static str, examples: Vec<Example>, config: &Gpt2Config) -> Result<Self> {
        examples.iter().try_for_each(|example| example.check(set, config))?;
        Self::of_checked(set, Source::Memory(examples))
    }

    /// The blocks that [`blocks`](super::blocks) makes of a stream, each read from the disk when it is asked for.
    ///
    /// # Errors
    /// [`Error::Dataset`] when there is nothing to predict, or the tokens are of a larger vocabulary than the model's;
    /// [`Error::Option`] when blocks are not as [`block_size`](super::block_size) wants them.
    pub fn from_shards(
        set: &'static str,
        shards: Shards,
        block_size: usize,
        config: &Gpt2Config,
    ) -> Result<Self> {
        let blocks = ShardBlocks::new(set, shards, block_size, config)?;
        Self::of_checked(set, Source::Shards(blocks))
    }

    fn of_checked(set: &'static str, source: Source) -> Result<Self> {
        let scored = match &source {
            Source::Memory(examples) => examples.iter().map(Example::scored).sum(),
            Source::Shards(blocks) => blocks.scored()?,
        };
        if scored == 0 {
            let reason = "there is no token to predict; two tokens are the least".to_string();
            return Err(Error::Dataset { set, reason });
        }
        Ok(Self { set, source, scored, fingerprint: OnceLock::new() })
    }

    /// The same sequences, in which predicting `id` never counts; see [`Example::ignoring`].
    ///
    /// Reads tokens on the disk once, to count those that do.
    ///
    /// # Errors
    /// [`Error::Dataset`] when nothing else is to be predicted; as [`Dataset::example`].
    pub fn ignoring(&self, id: u32) -> Result<Self> {
        let source = match &self.source {
            Source::Memory(examples) => Source::Memory(
                examples.iter().map(|example| example.clone().ignoring(id)).collect(),
            ),
            Source::Shards(blocks) => Source::Shards(blocks.ignoring(id)),
        };
        Self::of_checked(self.set, source)
    }

    /// Number of sequences.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Memory(examples) => examples.len(),
            Source::Shards(blocks) => blocks.len(),
        }
    }

    /// Whether there is none; a data set that has been checked has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence of this number.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file that it can no longer be read from; [`Error::Data`] naming one in which there is an
    /// id that is no token's.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn example(&self, index: usize) -> Result<Cow<'_, Example>> {
        match &self.source {
            Source::Memory(examples) => Ok(Cow::Borrowed(&examples[index])),
            Source::Shards(blocks) => blocks.example(index).map(Cow::Owned),
        }
    }

    /// Number of tokens of a sequence.
    ///
    /// # Panics
    /// If there are not so many sequences.
    #[must_use]
    pub fn length_of(&self, index: usize) -> usize {
        match &self.source {
            Source::Memory(examples) => examples[index].input_ids.len(),
            Source::Shards(blocks) => blocks.length_of(index),
        }
    }

    /// Number of predictions that count, over all sequences.
    #[must_use]
    pub fn scored(&self) -> usize {
        self.scored
    }

    /// A hash of the content: another order, token or label gives another one. That of tokens on the disk comes from
    /// their checksums.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| match &self.source {
            Source::Memory(examples) => hash(examples),
            Source::Shards(blocks) => blocks.fingerprint(),
        })
    }
}

fn hash(examples: &[Example]) -> String {
    let mut hash = Xxh3::new();
    for Example { input_ids, labels } in examples {
        hash.update(&(input_ids.len() as u64).to_le_bytes());
        input_ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
        hash.update(&[u8::from(labels.is_some())]);
        labels.iter().flatten().for_each(|label| hash.update(&label.to_le_bytes()));
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_of_the_content() {
        let config = Gpt2Config { vocab_size: 9, ..Gpt2Config::gpt2() };
        let of = |rows: &[&[u32]]| {
            let examples = rows.iter().map(|ids| Example::new(ids.to_vec())).collect();
            Dataset::new("training", examples, &config).unwrap()
        };
        let one = of(&[&[1, 2, 3], &[4, 5]]);
        assert_eq!(one.fingerprint(), of(&[&[1, 2, 3], &[4, 5]]).fingerprint());
        for other in [
            of(&[&[1, 2], &[3, 4, 5]]),
            of(&[&[4, 5], &[1, 2, 3]]),
            of(&[&[1, 2, 3], &[4, 6]]),
            one.ignoring(3).unwrap(),
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
    }
}
