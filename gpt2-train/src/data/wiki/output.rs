//! The folder that articles are written to, while they are.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dump::Place;
use super::manifest::{FORMAT, VERSION};
use super::writer::{PART, Written};
use super::{WikiCounts, WikiJob, WikiManifest};
use crate::data::work_folder::{
    LOCK, Lock, MANIFEST, PROGRESS, UNFINISHED, read_json, remove, write_json,
};
use crate::{Error, Result};

/// How far the writing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    format: String,
    version: u32,
    /// Index of the dump that is being read.
    pub dump: usize,
    /// Where in it the next page begins; `None` before the first one.
    pub place: Option<Place>,
    pub counts: WikiCounts,
    pub written: Written,
}

impl Progress {
    /// A job that begins.
    pub fn new() -> Self {
        Self { format: FORMAT.to_string(), version: VERSION, ..Self::default() }
    }

    /// Checks that it can be how far this job is.
    fn check(&self, job: &WikiJob) -> Result<(), String> {
        let bytes = job.dumps.get(self.dump).map_or(0, |dump| dump.bytes);
        let is_inside =
            self.dump <= job.dumps.len() && self.place.is_none_or(|place| place.bit / 8 <= bytes);
        let name = |index: usize| format!("wiki-{index:05}.{}", job.format.extension());
        let are_named =
            self.written.shards.iter().enumerate().all(|(index, shard)| shard.name == name(index));
        match is_inside && are_named {
            true => Ok(()),
            false => Err("`place` or `written` is not of this job; use --overwrite".to_string()),
        }
    }
}

/// What a folder is found to be.
pub(super) enum Found {
    /// Nothing, or the same job under way: go on from here.
    Job(Box<Progress>),
    /// The same job, done.
    Whole(Box<WikiManifest>),
}

/// A folder that no other process writes to.
pub(super) struct Output<'a> {
    folder: &'a Path,
    /// Whether it was not there before.
    is_new: bool,
    _lock: Lock,
}

impl<'a> Output<'a> {
    /// Makes the folder if need be and takes hold of it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for a folder with anything else in it, or that another process writes to.
    pub fn open(folder: &'a Path) -> Result<Self> {
        let is_new = !folder.exists();
        if !is_new {
            check(folder)?;
        }
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        Ok(Self { folder, is_new, _lock: Lock::take(folder)? })
    }

    /// Looks for an earlier run of the job, or begins a new one; `overwrite` removes what is of another one, or of an
    /// unfinished one.
    ///
    /// # Errors
    /// [`Error::Data`] naming what differs from the job that the folder is of; [`Error::Io`].
    pub fn find(&self, job: &WikiJob, overwrite: bool) -> Result<Found> {
        let refuse = |state: &str, difference: &str| {
            let reason = format!(
                "{state} articles of another job: {difference}; expected the same arguments and dumps, another folder, or \
                 --overwrite"
            );
            Err(Error::data(self.folder, None, reason))
        };
        if self.folder.join(MANIFEST).is_file() {
            match WikiManifest::read(self.folder).map(|found| (found.job.difference(job), found)) {
                Ok((None, manifest)) => return Ok(Found::Whole(Box::new(manifest))),
                Ok((Some(difference), _)) if !overwrite => return refuse("it holds", &difference),
                Err(error) if !overwrite => return Err(error),
                _ => self.clear()?,
            }
        } else if overwrite {
            self.clear()?;
        } else if self.folder.join(UNFINISHED).is_file() {
            let unfinished: WikiManifest =
                read_json(&self.folder.join(UNFINISHED), FORMAT, VERSION)?;
            if let Some(difference) = unfinished.job.difference(job) {
                return refuse("it holds unfinished", &difference);
            }
            let path = self.folder.join(PROGRESS);
            if path.is_file() {
                let progress: Progress = read_json(&path, FORMAT, VERSION)?;
                progress.check(job).map_err(|reason| Error::data(&path, None, reason))?;
                return Ok(Found::Job(Box::new(progress)));
            }
        }
        let begun = WikiManifest::new(job.clone(), WikiCounts::default(), Vec::new());
        write_json(&self.folder.join(UNFINISHED), &begun)?;
        Ok(Found::Job(Box::new(Progress::new())))
    }

    /// Notes how far the writing is; what is noted must be on the disk by then.
    pub fn note(&self, progress: &Progress) -> Result<()> {
        write_json(&self.folder.join(PROGRESS), progress)
    }

    /// Says that the folder is whole.
    pub fn finish(&self, manifest: &WikiManifest) -> Result<()> {
        write_json(&self.folder.join(MANIFEST), manifest)
    }

    /// Removes what only an unfinished folder needs, and what killed runs have left.
    pub fn tidy(&self) -> Result<()> {
        let names = [UNFINISHED, PROGRESS];
        self.files()?
            .iter()
            .filter(|path| is_passing(path) || names.iter().any(|name| path.ends_with(name)))
            .try_for_each(|path| remove(path))
    }

    /// Of a run that failed: removes what it has written, if nothing of it was noted.
    pub fn abandon(&self) -> Result<()> {
        if self.folder.join(PROGRESS).exists() || self.folder.join(MANIFEST).exists() {
            return Ok(());
        }
        self.clear()?;
        if self.is_new {
            remove(&self.folder.join(LOCK))?;
            fs::remove_dir(self.folder).map_err(Error::io("remove", self.folder))?;
        }
        Ok(())
    }

    /// Removes all that this format has in a folder; first what makes it one.
    fn clear(&self) -> Result<()> {
        remove(&self.folder.join(MANIFEST))?;
        self.files()?.iter().filter(|path| !path.ends_with(LOCK)).try_for_each(|path| remove(path))
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        files(self.folder)
    }
}

/// Checks that a folder is empty, or one of articles.
fn check(folder: &Path) -> Result<()> {
    let files = files(folder)?;
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let known = [MANIFEST, UNFINISHED, PROGRESS, LOCK].contains(&&*name);
        known
            || is_passing(path)
            || name.starts_with("wiki-") && (name.ends_with(".txt") || name.ends_with(".jsonl"))
    };
    let has_job = files.iter().any(|path| path.ends_with(MANIFEST) || path.ends_with(UNFINISHED));
    let is_other =
        |path: &&PathBuf| !is_ours(path) || !has_job && !path.ends_with(LOCK) && !is_passing(path);
    match files.iter().find(is_other) {
        None => Ok(()),
        Some(other) => {
            let reason = format!(
                "the folder has other content ({}), expected a new or empty folder, or one of articles",
                other.display()
            );
            Err(Error::data(folder, None, reason))
        }
    }
}

/// Whether a file is gone when the folder is whole: a part, or a file before it is whole.
fn is_passing(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".writing-")
        || name.starts_with("wiki-") && path.extension() == Some(PART.as_ref())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry.map_err(Error::io("read", folder))?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}
