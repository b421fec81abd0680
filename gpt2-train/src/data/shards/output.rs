//! The folder that shards are written to, while they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VERSION;
use super::folder::SHARD;
use super::manifest::{FORMAT, Manifest, ShardJob, SplitEntry};
use super::writer::Written;
use crate::data::corpus::Place;
use crate::data::split::Split;
use crate::data::work_folder::{
    LOCK, Lock, MANIFEST, PROGRESS, UNFINISHED, read_json, remove, write_json,
};
use crate::{Error, Result};

/// How far the writing is; what it was made from is told apart, since that may be long.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    format: String,
    version: u32,
    /// Where the reader is.
    pub place: Place,
    /// What is written of each part.
    pub written: BTreeMap<Split, Written>,
}

impl Progress {
    /// Checks that it can be how far this job is.
    fn check(&self, job: &ShardJob) -> Result<(), String> {
        let Place { file, offset, line, lines_before, .. } = self.place;
        let bytes = |count| job.inputs.iter().take(count).map(|input| input.bytes).sum::<u64>();
        let is_inside = file <= job.inputs.len()
            && offset <= bytes(file + 1) - bytes(file)
            && line as u64 <= offset
            && lines_before as u64 <= bytes(file);
        if !is_inside {
            return Err("`place` is outside of the files; use --overwrite".to_string());
        }
        self.written.iter().try_for_each(|(split, written)| written.check(*split, job))
    }
}

/// What a folder is found to be.
pub(super) enum Found {
    /// Nothing, or the same job under way: go on from here.
    Job(Place, BTreeMap<Split, Written>),
    /// The same job, done.
    Whole(Manifest),
}

/// A folder that no other process writes to.
pub(super) struct Output<'a> {
    folder: &'a Path,
    _lock: Lock,
}

impl<'a> Output<'a> {
    /// Checks that a folder is not there, empty, or one of shards.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a folder with anything else in it.
    pub fn check(folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        let files = ShardFiles::of(folder)?;
        if let Some(other) = files.others.first().filter(|_| !files.has_job) {
            let reason = format!(
                "the folder has other content ({}), expected a new or empty folder, or one of shards",
                other.display()
            );
            return Err(Error::data(folder, None, reason));
        }
        Ok(())
    }

    /// Makes the folder if need be and takes hold of it.
    ///
    /// # Errors
    /// As [`Output::check`]; [`Error::Data`] for a folder that another process writes to.
    pub fn open(folder: &'a Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        Self::check(folder)?;
        Ok(Self { folder, _lock: Lock::take(folder)? })
    }

    /// Looks for an earlier run of the job, or begins a new one; `overwrite` removes what is of another one, or of an
    /// unfinished one.
    ///
    /// # Errors
    /// [`Error::Data`] naming what differs from the job that the folder is of; [`Error::Io`].
    pub fn find(&self, job: &ShardJob, overwrite: bool) -> Result<Found> {
        let refuse = |state: &str, difference: &str| {
            let reason = format!(
                "{state} shards of another job: {difference}; expected the same arguments and files, another folder, or \
                 --overwrite"
            );
            Err(Error::data(self.folder, None, reason))
        };
        if Manifest::path(self.folder).is_file() {
            match Manifest::read(self.folder).map(|found| (found.job.difference(job), found)) {
                Ok((None, manifest)) => return Ok(Found::Whole(manifest)),
                Ok((Some(difference), _)) if !overwrite => return refuse("it holds", &difference),
                Err(error) if !overwrite => return Err(error),
                _ => self.clear()?,
            }
        } else if overwrite {
            self.clear()?;
        } else if self.folder.join(UNFINISHED).is_file() {
            let unfinished: Manifest = read_json(&self.folder.join(UNFINISHED), FORMAT, VERSION)?;
            if let Some(difference) = unfinished.job.difference(job) {
                return refuse("it holds unfinished", &difference);
            }
            let path = self.folder.join(PROGRESS);
            if path.is_file() {
                let progress: Progress = read_json(&path, FORMAT, VERSION)?;
                progress.check(job).map_err(|reason| Error::data(&path, None, reason))?;
                return Ok(Found::Job(progress.place, progress.written));
            }
            return Ok(Found::Job(Place::default(), BTreeMap::new()));
        }
        let begun = Manifest::new(job.clone(), BTreeMap::new());
        write_json(&self.folder.join(UNFINISHED), &begun)?;
        Ok(Found::Job(Place::default(), BTreeMap::new()))
    }

    /// Notes how far the writing is; what is noted must be on the disk by then.
    pub fn note(&self, place: Place, written: BTreeMap<Split, Written>) -> Result<()> {
        let (format, version) = (FORMAT.to_string(), VERSION);
        write_json(&self.folder.join(PROGRESS), &Progress { format, version, place, written })
    }

    /// Makes a data set of the folder.
    pub fn finish(&self, job: ShardJob, splits: BTreeMap<Split, SplitEntry>) -> Result<Manifest> {
        let manifest = Manifest::new(job, splits);
        manifest.write(self.folder)?;
        Ok(manifest)
    }

    /// Removes what only an unfinished folder needs, and what killed runs have left.
    pub fn tidy(&self) -> Result<()> {
        ShardFiles::of(self.folder)?.passing.iter().try_for_each(|path| remove(path))
    }

    /// Removes all that this format has in a folder; first what makes it one.
    fn clear(&self) -> Result<()> {
        let files = ShardFiles::of(self.folder)?;
        remove(&Manifest::path(self.folder))?;
        for path in files.shards.iter().chain(&files.passing) {
            remove(path)?;
        }
        Ok(())
    }
}

/// What is in a folder.
#[derive(Default)]
struct ShardFiles {
    /// Whether a job was begun here.
    has_job: bool,
    shards: Vec<PathBuf>,
    /// Files that are gone in the end, but for the lock.
    passing: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl ShardFiles {
    fn of(folder: &Path) -> Result<Self> {
        let mut files = Self::default();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let path = entry.map_err(Error::io("read", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_shard = path.extension() == Some(SHARD.as_ref());
            match &*name {
                MANIFEST => files.has_job = true,
                UNFINISHED => {
                    files.has_job = true;
                    files.passing.push(path);
                }
                // The latter is what a file is called before it is whole.
                name if name == PROGRESS || name.starts_with(".writing-") => {
                    files.passing.push(path)
                }
                LOCK => {}
                _ if is_shard => files.shards.push(path),
                _ => files.others.push(path),
            }
        }
        Ok(files)
    }
}
