//! `manifest.json`: what a folder of articles holds, and what it was made from.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::{WikiCounts, WikiOptions};
use crate::data::corpus::checksum_text;
use crate::data::work_folder::{MANIFEST, read_json};
use crate::data::{EncodingErrors, TextFormat};
use crate::{Error, Result};

/// Value of `format`.
pub(super) const FORMAT: &str = "gpt2-wiki";

/// Version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes at each end of a dump that its checksum is of.
const END: u64 = 1 << 20;

/// A dump that articles were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WikiDump {
    /// As it was given.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// XXH3-128 of its first and last mebibyte, as 32 hexadecimal digits. Two dumps differ there, and reading all of one takes
    /// as long as the disk needs for tens of gigabytes.
    pub checksum: String,
}

impl WikiDump {
    /// Looks at a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn of(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let bytes = file.metadata().map_err(Error::io("read", path))?.len();
        let mut hash = Xxh3::new();
        for start in [0, bytes.saturating_sub(END)] {
            let mut end = Vec::new();
            let sought = file.seek(SeekFrom::Start(start));
            sought
                .and_then(|_| Read::by_ref(&mut file).take(END).read_to_end(&mut end))
                .map_err(Error::io("read", path))?;
            hash.update(&end);
        }
        Ok(Self { path: path.to_path_buf(), bytes, checksum: checksum_text(hash.digest128()) })
    }
}

/// What decides every byte of a folder of articles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WikiJob {
    /// Version of the program, since another one may make other prose.
    pub program: String,
    /// As in [`WikiOptions`].
    pub format: TextFormat,
    /// As in [`WikiOptions`].
    pub min_length: usize,
    /// As in [`WikiOptions`].
    pub title: bool,
    /// As in [`WikiOptions`].
    pub headings: bool,
    /// As in [`WikiOptions`].
    pub shard_bytes: u64,
    /// As in [`WikiOptions`].
    pub limit: Option<u64>,
    /// As in [`WikiOptions`].
    pub disambiguation_templates: Vec<String>,
    /// As in [`WikiOptions`].
    pub encoding_errors: EncodingErrors,
    /// As in [`WikiOptions`].
    pub skip_malformed: bool,
    /// The dumps, in their order.
    pub dumps: Vec<WikiDump>,
}

impl WikiJob {
    /// Looks at the dumps.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn new(dumps: &[PathBuf], options: &WikiOptions) -> Result<Self> {
        Ok(Self {
            program: env!("CARGO_PKG_VERSION").to_string(),
            format: options.format,
            min_length: options.min_length,
            title: options.title,
            headings: options.headings,
            shard_bytes: options.shard_bytes,
            limit: options.limit,
            disambiguation_templates: options.disambiguation_templates.clone(),
            encoding_errors: options.encoding_errors,
            skip_malformed: options.skip_malformed,
            dumps: dumps.iter().map(|path| WikiDump::of(path)).collect::<Result<_>>()?,
        })
    }

    /// The first thing in which another job differs from this one, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let fields = |job: &Self| serde_json::to_value(job).unwrap_or_default();
        let (Value::Object(one), Value::Object(two)) = (fields(self), fields(other)) else {
            return None;
        };
        for (field, was) in &one {
            let is = two.get(field).unwrap_or(&Value::Null);
            if field != "dumps" && was != is {
                return Some(format!("`{field}` was {was} and is {is}"));
            }
        }
        for (was, is) in self.dumps.iter().zip(&other.dumps) {
            if was.path != is.path {
                return Some(format!(
                    "there was the dump {} and now {}",
                    was.path.display(),
                    is.path.display()
                ));
            }
            if was != is {
                return Some(format!("{} has another content", was.path.display()));
            }
        }
        let (was, is) = (self.dumps.len(), other.dumps.len());
        (was != is).then(|| format!("there were {was} dumps and now {is}"))
    }
}

/// A file of articles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WikiShard {
    /// Its name in the folder.
    pub name: String,
    /// Its articles.
    pub articles: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a folder of articles holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WikiManifest {
    format: String,
    version: u32,
    /// What it was made from.
    pub job: WikiJob,
    /// What became of the pages.
    pub counts: WikiCounts,
    /// The files, in their order.
    pub shards: Vec<WikiShard>,
}

impl WikiManifest {
    pub(super) fn new(job: WikiJob, counts: WikiCounts, shards: Vec<WikiShard>) -> Self {
        Self { format: FORMAT.to_string(), version: VERSION, job, counts, shards }
    }

    /// Reads the manifest of a folder that is whole.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming file and field.
    pub fn read(folder: &Path) -> Result<Self> {
        read_json(&folder.join(MANIFEST), FORMAT, VERSION)
    }
}
