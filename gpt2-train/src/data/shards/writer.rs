//! Writing the shards of a part, and going on with them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{Shard, checksum_of};
use super::folder::file_name;
use super::header::HEADER_BYTES;
use super::manifest::{ShardEntry, ShardJob, SplitEntry, hexadecimal};
use crate::data::corpus::checksum_text;
use crate::data::split::Split;
use crate::data::work_folder::sync;
use crate::{Error, Result};

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 18;

/// How far the writing of a part is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The shards that are whole.
    pub whole: SplitEntry,
    /// Tokens of the shard that is not.
    pub open_tokens: u64,
}

impl Written {
    /// Checks that it can be how far this job is.
    pub fn check(&self, split: Split, job: &ShardJob) -> Result<(), String> {
        self.whole.check(split, job.shard_tokens)?;
        let whole = self.whole.shards.iter().all(|shard| shard.tokens == job.shard_tokens);
        match whole && self.open_tokens < job.shard_tokens {
            true => Ok(()),
            false => Err(format!("`written.{}` has a shard that is not full", split.name())),
        }
    }
}

/// Writes tokens of one part of the corpus into one shard after the other.
///
/// A shard that is being written has zeros for a header.
pub(super) struct SplitWriter<'a> {
    folder: &'a Path,
    split: Split,
    job: &'a ShardJob,
    written: Written,
    open: Option<(PathBuf, BufWriter<File>)>,
}

impl<'a> SplitWriter<'a> {
    /// Goes on behind what is written. What an earlier run wrote beyond that is cut off.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a shard with less in it, or one that is whole and is not what was written.
    pub fn resume(
        folder: &'a Path,
        split: Split,
        job: &'a ShardJob,
        written: Written,
    ) -> Result<Self> {
        for (index, shard) in written.whole.shards.iter().enumerate() {
            let checksum = hexadecimal(&shard.checksum).unwrap_or_default();
            let path = folder.join(file_name(split, index));
            Shard::open(path, job.header(shard.tokens, checksum))?;
        }
        let mut writer = Self { folder, split, job, written, open: None };
        if writer.written.open_tokens > 0 {
            writer.reopen()?;
        }
        Ok(writer)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(file_name(self.split, self.written.whole.shards.len()))
    }

    fn reopen(&mut self) -> Result<()> {
        let path = self.path();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("go on with", &path))?;
        let expected = self.job.header(self.written.open_tokens, 0).file_bytes();
        let found = file.metadata().map_err(Error::io("read", &path))?.len();
        let Some(expected) = expected.filter(|&expected| expected <= found) else {
            let reason = "the file has less in it than an earlier run wrote; use --overwrite";
            return Err(Error::data(&path, None, reason));
        };
        let cut = file.set_len(expected).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(Error::io("go on with", &path))?;
        self.open = Some((path, BufWriter::with_capacity(BUFFER, file)));
        Ok(())
    }

    /// Takes in a document or a piece of one; a separator comes between documents.
    pub fn append(&mut self, ids: &[u32], begins: bool) -> Result<()> {
        if begins {
            let separator = self.job.separator.filter(|_| self.written.whole.documents > 0);
            self.written.whole.documents += 1;
            self.write(separator.as_slice())?;
        }
        self.write(ids)
    }

    fn write(&mut self, mut ids: &[u32]) -> Result<()> {
        while !ids.is_empty() {
            let room = self.job.shard_tokens - self.written.open_tokens;
            let count = usize::try_from(room).map_or(ids.len(), |room| room.min(ids.len()));
            let (here, rest) = ids.split_at(count);
            let width = self.job.bytes_per_token();
            let (path, file) = match self.open.take() {
                Some(open) => self.open.insert(open),
                None => {
                    let created = self.create()?;
                    self.open.insert(created)
                }
            };
            for id in here {
                let bytes = id.to_le_bytes();
                file.write_all(&bytes[..width as usize]).map_err(Error::io("write", &*path))?;
            }
            self.written.open_tokens += count as u64;
            if self.written.open_tokens == self.job.shard_tokens {
                self.close()?;
            }
            ids = rest;
        }
        Ok(())
    }

    /// Begins a shard.
    fn create(&self) -> Result<(PathBuf, BufWriter<File>)> {
        let path = self.path();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(Error::io("create", &path))?;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        file.write_all(&[0; HEADER_BYTES]).map_err(Error::io("write", &path))?;
        Ok((path, file))
    }

    /// Gives the open shard its header.
    fn close(&mut self) -> Result<()> {
        let Some((path, file)) = self.open.take() else { return Ok(()) };
        let mut file =
            file.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
        let tokens = std::mem::take(&mut self.written.open_tokens);
        let bytes = self.job.header(tokens, 0).tokens_bytes().unwrap_or(u64::MAX);
        let checksum = checksum_of(&path, &file, bytes)?;
        let header = self.job.header(tokens, checksum).to_bytes();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &path))?;
        let whole = &mut self.written.whole;
        whole.tokens += tokens;
        whole.shards.push(ShardEntry { tokens, checksum: checksum_text(checksum) });
        Ok(())
    }

    /// Makes everything so far permanent, and says how much that is.
    pub fn sync(&mut self) -> Result<Written> {
        if let Some((path, file)) = &mut self.open {
            sync(path, file)?;
        }
        Ok(self.written.clone())
    }

    /// Closes the last shard; `None` for a part without documents.
    pub fn finish(mut self) -> Result<Option<(Split, SplitEntry)>> {
        self.close()?;
        let whole = self.written.whole;
        Ok((whole.documents > 0).then_some((self.split, whole)))
    }
}
