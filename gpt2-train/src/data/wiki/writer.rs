//! Writing articles into files, and going on with them.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::WikiShard;
use crate::data::TextFormat;
use crate::data::work_folder::sync;
use crate::{Error, Result};

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 18;

/// What names of files end with until all of them are whole.
pub(super) const PART: &str = "part";

/// What is written so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The files; the last one may grow.
    pub shards: Vec<WikiShard>,
}

/// Writes articles into one file after the other.
pub(super) struct Writer<'a> {
    folder: &'a Path,
    format: TextFormat,
    shard_bytes: u64,
    written: Written,
    open: Option<(PathBuf, BufWriter<File>)>,
}

impl<'a> Writer<'a> {
    /// Goes on behind what is written. What an earlier run wrote beyond that is cut off.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a file that has less in it than was written.
    pub fn resume(
        folder: &'a Path,
        format: TextFormat,
        shard_bytes: u64,
        written: Written,
    ) -> Result<Self> {
        for shard in &written.shards {
            let (part, whole) = (part_of(folder, &shard.name), folder.join(&shard.name));
            // A run that was killed while it gave files their names.
            if whole.is_file() {
                fs::rename(&whole, &part).map_err(Error::io("rename", &whole))?;
            }
            let file = OpenOptions::new()
                .write(true)
                .open(&part)
                .map_err(Error::io("go on with", &part))?;
            if file.metadata().map_err(Error::io("read", &part))?.len() < shard.bytes {
                let reason = "the file has less in it than an earlier run wrote; use --overwrite";
                return Err(Error::data(&part, None, reason));
            }
            file.set_len(shard.bytes).map_err(Error::io("go on with", &part))?;
        }
        let mut writer = Self { folder, format, shard_bytes, written, open: None };
        if let Some(last) = writer.written.shards.last() {
            let path = part_of(folder, &last.name);
            let mut file = OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(Error::io("go on with", &path))?;
            file.seek(SeekFrom::End(0)).map_err(Error::io("go on with", &path))?;
            writer.open = Some((path, BufWriter::with_capacity(BUFFER, file)));
        }
        Ok(writer)
    }

    /// Writes an article; gives the bytes that it takes.
    pub fn append(&mut self, text: &str) -> Result<u64> {
        let length = text.len() as u64 + 1;
        let blank = u64::from(self.format == TextFormat::Txt);
        if self
            .written
            .shards
            .last()
            .is_some_and(|last| last.bytes + blank + length > self.shard_bytes)
        {
            self.close()?;
        }
        let (path, file) = match self.open.take() {
            Some(open) => self.open.insert(open),
            None => {
                let created = self.create()?;
                self.open.insert(created)
            }
        };
        let Some(shard) = self.written.shards.last_mut() else { return Ok(0) };
        let mut write =
            |text: &str| file.write_all(text.as_bytes()).map_err(Error::io("write", &*path));
        let before = match shard.articles > 0 && blank > 0 {
            true => "\n",
            false => "",
        };
        write(before)?;
        write(text)?;
        write("\n")?;
        let bytes = before.len() as u64 + length;
        shard.articles += 1;
        shard.bytes += bytes;
        Ok(bytes)
    }

    fn create(&mut self) -> Result<(PathBuf, BufWriter<File>)> {
        let name = format!("wiki-{:05}.{}", self.written.shards.len(), self.format.extension());
        let path = part_of(self.folder, &name);
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        self.written.shards.push(WikiShard { name, articles: 0, bytes: 0 });
        Ok((path, BufWriter::with_capacity(BUFFER, file)))
    }

    /// Ends a file: it is on the disk.
    fn close(&mut self) -> Result<()> {
        let Some((path, file)) = self.open.take() else { return Ok(()) };
        let file =
            file.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
        file.sync_all().map_err(Error::io("write", &path))
    }

    /// Makes everything so far permanent, and says how much that is.
    pub fn sync(&mut self) -> Result<Written> {
        if let Some((path, file)) = &mut self.open {
            sync(path, file)?;
        }
        Ok(self.written.clone())
    }

    /// Gives the files their names.
    pub fn finish(mut self) -> Result<Vec<WikiShard>> {
        self.close()?;
        for shard in &self.written.shards {
            let part = part_of(self.folder, &shard.name);
            fs::rename(&part, self.folder.join(&shard.name)).map_err(Error::io("rename", &part))?;
        }
        Ok(self.written.shards)
    }
}

fn part_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{PART}"))
}
