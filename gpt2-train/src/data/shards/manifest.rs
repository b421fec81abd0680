//! `manifest.json`: what a folder of shards holds, and what it was made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VERSION;
use super::header::Header;
use crate::data::corpus::Input;
use crate::data::encoding::EncodingErrors;
use crate::data::split::{Split, SplitBy};
use crate::data::work_folder::{MANIFEST, read_json, write_json};
use crate::{Error, Result};

/// Value of `format`.
pub(super) const FORMAT: &str = "gpt2-tokens";

/// What decides every byte of a folder of shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardJob {
    /// [`Tokenizer::fingerprint`] of the tokenizer.
    pub tokenizer: String,
    /// Number of ids: the tokenizer's largest one and one.
    pub vocab_size: usize,
    /// Id between documents, if any.
    pub separator: Option<u32>,
    /// How the corpus was divided.
    pub split: SplitBy,
    /// Tokens of a shard; the last one of a part may have fewer.
    pub shard_tokens: u64,
    /// What was done with bytes that are not UTF-8.
    #[serde(default)]
    pub encoding_errors: EncodingErrors,
    /// The files, in their order.
    pub inputs: Vec<Input>,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Its tokens.
    pub tokens: u64,
    /// XXH3-128 of their bytes, as 32 hexadecimal digits.
    pub checksum: String,
}

/// A part of the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// Its documents.
    pub documents: usize,
    /// Its tokens, those between documents included.
    pub tokens: u64,
    /// Its files, in their order.
    pub shards: Vec<ShardEntry>,
}

/// What a folder of shards holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// What it was made from.
    pub job: ShardJob,
    /// The parts that have documents.
    pub splits: BTreeMap<Split, SplitEntry>,
}

impl ShardJob {
    /// Bytes of a token in the files.
    #[must_use]
    pub fn bytes_per_token(&self) -> u32 {
        if self.vocab_size <= 1 << 16 { 2 } else { 4 }
    }

    /// Checks that shards are those of this tokenizer; `folder` is where they are.
    ///
    /// # Errors
    /// [`Error::Data`] with both fingerprints.
    pub(super) fn check_tokenizer(&self, tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
        let fingerprint = tokenizer.fingerprint();
        if fingerprint == self.tokenizer {
            return Ok(());
        }
        let reason = format!(
            "its tokens are of another tokenizer (vocabulary of {}, fingerprint {}) than the model's (vocabulary of {}, \
             fingerprint {fingerprint}); tokenize the texts again, with the model's",
            self.vocab_size,
            self.tokenizer,
            tokenizer.max_id() as usize + 1,
        );
        Err(Error::data(folder, None, reason))
    }

    /// The first thing in which another job differs from this one, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let [Value::Object(one), Value::Object(two)] = [self, other].map(as_read) else {
            return None;
        };
        for (field, was) in &one {
            let is = two.get(field).unwrap_or(&Value::Null);
            if field != "inputs" && was != is {
                return Some(format!("`{field}` was {was} and is {is}"));
            }
        }
        for (was, is) in self.inputs.iter().zip(&other.inputs) {
            let path = was.path.display();
            if was.path != is.path {
                return Some(format!("there was the file {path} and now {}", is.path.display()));
            }
            if was.bytes != is.bytes {
                return Some(format!("{path} had {} bytes and has {}", was.bytes, is.bytes));
            }
            if was.checksum != is.checksum {
                return Some(format!("{path} has another content"));
            }
        }
        let (was, is) = (self.inputs.len(), other.inputs.len());
        (was != is).then(|| format!("there were {was} files and now {is}"))
    }

    /// The header of a shard of this job.
    pub(super) fn header(&self, tokens: u64, checksum: u128) -> Header {
        Header {
            bytes_per_token: self.bytes_per_token(),
            vocab_size: self.vocab_size as u64,
            tokens,
            // Checked where the job was read; one that was made has the digits.
            tokenizer: hexadecimal(&self.tokenizer).unwrap_or_default(),
            checksum,
        }
    }

    fn check(&self) -> Result<(), String> {
        if hexadecimal(&self.tokenizer).is_none() {
            return Err(format!("`tokenizer` is {:?}, expected 32 digits", self.tokenizer));
        }
        if self.shard_tokens == 0 {
            return Err("`shard_tokens` is 0, expected at least 1".to_string());
        }
        if self.vocab_size == 0 || u32::try_from(self.vocab_size).is_err() {
            return Err(format!("`vocab_size` is {}, expected 1 to 2^32 - 1", self.vocab_size));
        }
        match self.separator {
            Some(id) if id as usize >= self.vocab_size => {
                Err(format!("`separator` is {id}, expected less than {}", self.vocab_size))
            }
            _ => Ok(()),
        }
    }
}

/// Numbers as they are when they have been written and read: JSON may round a fraction.
fn as_read(job: &ShardJob) -> Value {
    let text = serde_json::to_string(job).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// 32 hexadecimal digits as a number.
pub(super) fn hexadecimal(text: &str) -> Option<u128> {
    let is_digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl SplitEntry {
    pub(super) fn check(&self, split: Split, shard_tokens: u64) -> Result<(), String> {
        let mut sum = 0u64;
        for (index, shard) in self.shards.iter().enumerate() {
            let place = format!("`splits.{}.shards[{index}]", split.name());
            if hexadecimal(&shard.checksum).is_none() {
                return Err(format!("{place}.checksum` is no 32 digits"));
            }
            let is_last = index + 1 == self.shards.len();
            let whole = shard.tokens == shard_tokens;
            if !(whole || is_last && (1..shard_tokens).contains(&shard.tokens)) {
                let expected =
                    format!("expected shard_tokens = {shard_tokens}, or less at the end");
                return Err(format!("{place}.tokens` is {}, {expected}", shard.tokens));
            }
            sum = sum.checked_add(shard.tokens).ok_or(format!("{place}.tokens` is too many"))?;
        }
        match sum == self.tokens {
            true => Ok(()),
            false => {
                let name = split.name();
                Err(format!("`splits.{name}.tokens` is {}, its shards have {sum}", self.tokens))
            }
        }
    }
}

impl Manifest {
    pub(super) fn new(job: ShardJob, splits: BTreeMap<Split, SplitEntry>) -> Self {
        Self { format: FORMAT.to_string(), version: VERSION, job, splits }
    }

    /// Where it is in a folder.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(MANIFEST)
    }

    /// Reads and checks the manifest of a folder.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming file and field.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = Self::path(folder);
        let manifest: Self = read_json(&path, FORMAT, VERSION)?;
        let at_file = |reason| Error::data(&path, None, reason);
        manifest.job.check().map_err(at_file)?;
        for (split, entry) in &manifest.splits {
            entry.check(*split, manifest.job.shard_tokens).map_err(at_file)?;
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&Self::path(folder), self)
    }

    /// Tokens of all parts.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.splits.values().fold(0, |sum: u64, entry| sum.saturating_add(entry.tokens))
    }
}
