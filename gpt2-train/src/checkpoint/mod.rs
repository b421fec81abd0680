//! Checkpoints: a run that was killed goes on as if nothing had happened.
//!
//! A checkpoint is a folder `checkpoint-STEP` that appears whole or not at all. It holds the model as
//! a model folder does (with LoRA the adapter, and not its base), `optimizer.safetensors` (both moments of every parameter), `best.safetensors`
//! (the weights of the best evaluation, unless they are the current ones), `trainer_state.toml`
//! (where the run is), `run.json` (what run it is: options, recipe, data, versions) and
//! `checksums.json`.
//!
//! The order of the data and the masks of dropout are functions of the seed and the step, so there is
//! no random state to keep; on the same device with the same number of threads, a run that goes on
//! computes bit for bit what it would have computed.

mod checksums;
mod identity;
mod read;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::Tokenizer;

pub(crate) use identity::RunIdentity;
pub(crate) use read::Restored;
pub(crate) use write::Snapshot;

use crate::{Error, Result};

const PREFIX: &str = "checkpoint-";
const STATE: &str = "trainer_state.toml";
const IDENTITY: &str = "run.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Folder of the low-rank weights, and their file in it under PEFT's name.
const ADAPTER: &str = "adapter";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
const BEST: &str = "best.safetensors";

/// What a run does with the checkpoints that are there when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// Start anew; checkpoints of a run that came to its end are removed, and a folder that has those
    /// of an unfinished one is refused.
    #[default]
    No,
    /// Start anew; checkpoints of any earlier run are removed.
    Overwrite,
    /// Go on from the latest one, or start anew where there is none.
    Latest,
    /// Go on from this one.
    From(PathBuf),
}

/// Where a run keeps its checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// The folder that holds them and nothing else.
    pub folder: PathBuf,
    /// What to do with those that are there.
    pub resume: Resume,
    /// Saved with each, so that it is a model folder that can be used.
    pub tokenizer: Option<Tokenizer>,
}

impl Checkpoints {
    /// Checkpoints in a folder, for a run that starts anew.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), resume: Resume::No, tokenizer: None }
    }
}

/// The checkpoints in a folder with their steps, oldest first.
///
/// # Errors
/// [`Error::Io`]; a folder that does not exist has none.
pub fn checkpoints(folder: impl AsRef<Path>) -> Result<Vec<(usize, PathBuf)>> {
    let folder = folder.as_ref();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix(PREFIX).and_then(|step| step.parse().ok());
        found.extend(step.filter(|_| path.is_dir()).map(|step| (step, path)));
    }
    found.sort();
    Ok(found)
}

/// The folder of a run that is under way: no other run may write there meanwhile.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    tokenizer: Option<Tokenizer>,
    /// Held until the run ends, however it ends.
    _lock: fs::File,
}

impl Place {
    /// Takes the folder into use and finds the checkpoint to go on from.
    pub fn open(options: &Checkpoints) -> Result<(Self, Option<PathBuf>)> {
        let folder = &options.folder;
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let lock = lock(folder)?;
        gpt2_core::folder::remove_unfinished(folder)?;
        let found = checkpoints(folder)?;
        let from = match &options.resume {
            Resume::From(path) => match found.last() {
                // Those of another run would be taken for this one's.
                Some((_, other)) if !found.iter().any(|(_, found)| same(found, path)) => {
                    return Err(Error::EarlierRun { checkpoint: other.clone() });
                }
                _ => Some(path.clone()),
            },
            Resume::Latest => found.last().map(|(_, path)| path.clone()),
            Resume::No | Resume::Overwrite => {
                let unfinished = |(_, path): &&(usize, PathBuf)| !is_finished(path);
                let lost = found.last().filter(unfinished);
                if let (Resume::No, Some((_, path))) = (&options.resume, lost) {
                    return Err(Error::EarlierRun { checkpoint: path.clone() });
                }
                found.iter().try_for_each(|(_, path)| remove(path))?;
                None
            }
        };
        let place =
            Self { folder: folder.clone(), tokenizer: options.tokenizer.clone(), _lock: lock };
        Ok((place, from))
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("{PREFIX}{step}"))
    }

    /// Removes all but the latest `keep` checkpoints, among which that of step `best` counts as the
    /// latest but one: it is kept beside the latest even where `keep` is 1.
    ///
    /// Source: `rotate_checkpoints` of `transformers`' `Trainer`.
    pub fn prune(&self, keep: usize, best: Option<usize>) -> Result<()> {
        let mut found = checkpoints(&self.folder)?;
        let mut keep = keep;
        let is_older = |at: &usize| *at + 1 < found.len();
        let place = found.iter().position(|(step, _)| Some(*step) == best).filter(is_older);
        if let Some(place) = place {
            let last_but_one = found.len() - 2;
            found[place..=last_but_one].rotate_left(1);
            keep = keep.max(2);
        }
        let excess = found.len().saturating_sub(keep);
        found[..excess].iter().try_for_each(|(_, path)| remove(path))
    }

    /// Removes checkpoints of later steps than the one that the run goes on from: it will make them
    /// again, and they must not be taken for its latest.
    pub fn forget_after(&self, step: usize) -> Result<()> {
        let found = checkpoints(&self.folder)?;
        let mut later = found.iter().filter(|(of, _)| *of > step);
        later.try_for_each(|(_, path)| remove(path))
    }
}

/// Whether a checkpoint is the last one of a run that came to its end.
fn is_finished(path: &Path) -> bool {
    read::read_state(&path.join(STATE)).is_ok_and(|state| state.is_finished)
}

/// Whether two paths lead to one folder.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Removes a checkpoint so that nobody finds half of it: it loses its name first.
fn remove(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new()
        .prefix(".writing-")
        .tempdir_in(parent)
        .map_err(Error::io("create", parent))?;
    fs::rename(path, aside.path().join("old")).map_err(Error::io("rename", path))?;
    aside.close().map_err(Error::io("remove", path))
}

/// Locks the folder, which the operating system undoes when the process ends.
fn lock(folder: &Path) -> Result<fs::File> {
    let path = folder.join(".lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { folder: folder.to_path_buf() }),
        // A file system that has no locks is no reason not to train.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(file),
    }
}
