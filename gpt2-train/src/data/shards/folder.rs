//! A folder of shards, opened and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gpt2_core::tokenizer::Tokenizer;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::file::Shard;
use super::manifest::{Manifest, ShardJob, SplitEntry, hexadecimal};
use crate::data::split::Split;
use crate::data::work_folder::{UNFINISHED, UNFINISHED_REASON};
use crate::{Error, Result};

/// A folder that [`tokenize_files`](super::tokenize_files) has made.
///
/// # Example
/// ```no_run
/// use gpt2_core::Gpt2Config;
/// use gpt2_train::Dataset;
/// use gpt2_train::data::{ShardFolder, Split};
///
/// let folder = ShardFolder::open("corpus-tokens")?;
/// let config = Gpt2Config::gpt2();
/// let train = Dataset::from_shards("training", folder.shards(Split::Train)?, 1024, &config)?;
/// # Ok::<(), gpt2_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShardFolder {
    path: PathBuf,
    manifest: Manifest,
}

impl ShardFolder {
    /// Whether a folder holds shards, or some day will: one that is not finished is no folder of texts. A file of the
    /// manifest's name alone makes none.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        let has_shards = || {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).any(|path| path.extension() == Some(SHARD.as_ref()))
        };
        path.join(UNFINISHED).is_file() || Manifest::path(path).is_file() && has_shards()
    }

    /// Reads what a folder holds.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a folder that is not finished, and a manifest that is malformed or of another
    /// version, naming the field.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !Manifest::path(path).is_file() && path.join(UNFINISHED).is_file() {
            return Err(Error::data(path, None, UNFINISHED_REASON));
        }
        Ok(Self { path: path.to_path_buf(), manifest: Manifest::read(path)? })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether there is this part.
    #[must_use]
    pub fn has(&self, split: Split) -> bool {
        self.manifest.splits.contains_key(&split)
    }

    /// Checks that the tokens are those of this tokenizer.
    ///
    /// # Errors
    /// [`Error::Data`] with the fingerprints of both.
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<()> {
        self.manifest.job.check_tokenizer(tokenizer, &self.path)
    }

    /// Opens the files of a part, and reads each once from end to end to compare its checksum.
    ///
    /// # Errors
    /// [`Error::Data`] for a part that is not there, and naming the file whose header, size or content is not what the
    /// manifest says; [`Error::Io`].
    pub fn shards(&self, split: Split) -> Result<Shards> {
        let Some(entry) = self.manifest.splits.get(&split) else {
            let there: Vec<&str> = self.manifest.splits.keys().map(|split| split.name()).collect();
            let reason = format!("no {} part, only {}", split.name(), there.join(", "));
            return Err(Error::data(&self.path, None, reason));
        };
        Shards::open(&self.path, split, &self.manifest.job, entry)
    }
}

/// How the name of a shard ends.
pub(super) const SHARD: &str = "tokens";

/// The name of a shard.
pub(super) fn file_name(split: Split, index: usize) -> String {
    format!("{}-{index:05}.{SHARD}", split.name())
}

/// The tokens of a part of a corpus, on the disk.
#[derive(Debug, Clone)]
pub struct Shards {
    files: Arc<Vec<Shard>>,
    tokens: u64,
    shard_tokens: u64,
    vocab_size: usize,
    checksum: u128,
}

impl Shards {
    fn open(folder: &Path, split: Split, job: &ShardJob, entry: &SplitEntry) -> Result<Self> {
        let open = |(index, shard): (usize, &super::ShardEntry)| {
            let checksum = hexadecimal(&shard.checksum).unwrap_or_default();
            let path = folder.join(file_name(split, index));
            Shard::open(path, job.header(shard.tokens, checksum))
        };
        let files = entry.shards.iter().enumerate().map(open).collect::<Result<Vec<_>>>()?;
        files.par_iter().try_for_each(Shard::verify)?;
        let mut hash = Xxh3::new();
        hash.update(&job.shard_tokens.to_le_bytes());
        entry.shards.iter().for_each(|shard| hash.update(shard.checksum.as_bytes()));
        Ok(Self {
            files: Arc::new(files),
            tokens: entry.tokens,
            shard_tokens: job.shard_tokens,
            vocab_size: job.vocab_size,
            checksum: hash.digest128(),
        })
    }

    /// Number of tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Ids are below it.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// A hash of the content, of the checksums of the files.
    #[must_use]
    pub fn checksum(&self) -> u128 {
        self.checksum
    }

    /// So many tokens from number `from` on.
    ///
    /// # Errors
    /// [`Error::Io`] naming a file that can no longer be read; [`Error::Data`] for an id that is no token's.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn read(&self, from: u64, count: usize) -> Result<Vec<u32>> {
        let end = from.checked_add(count as u64).filter(|&end| end <= self.tokens);
        assert!(end.is_some(), "{count} tokens from {from} on are not all below {}", self.tokens);
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let at = from + ids.len() as u64;
            let (index, within) = (at / self.shard_tokens, at % self.shard_tokens);
            let left = count - ids.len();
            let here = usize::try_from(self.shard_tokens - within).map_or(left, |n| n.min(left));
            self.files[index as usize].read(within, here, &mut ids)?;
        }
        Ok(ids)
    }
}
