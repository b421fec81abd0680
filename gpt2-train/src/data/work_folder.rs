//! What folders have in common that a long job writes to: a lock, notes of how far it is, and a mark until it is done.

use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gpt2_core::folder::write_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is being made, until it is done.
pub(super) const UNFINISHED: &str = "unfinished.json";

/// What is said of such a folder where somebody wants to read it.
pub(super) const UNFINISHED_REASON: &str =
    "it is not complete; run the command that makes it again as before";

/// How far it is.
pub(super) const PROGRESS: &str = "progress.json";

/// What is there, when it is done.
pub(super) const MANIFEST: &str = "manifest.json";

/// Held by the process that writes.
pub(super) const LOCK: &str = ".lock";

/// No file of names and numbers is larger.
const MAX_BYTES: u64 = 256 << 20;

/// Keeps other processes out of a folder.
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes hold of a folder, which must be there.
    ///
    /// # Errors
    /// [`Error::Data`] for a folder that another process writes to; [`Error::Io`].
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::data(folder, None, "another process is writing to this folder"))
            }
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays is in nobody's way: what counts is who holds it.
        let _ = remove(&self.path);
    }
}

/// What is looked at before the rest, which another version may have in other words.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// Reads a JSON file of a format and version.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] for another format or version, or a file that is not of it.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, format: &str, version: u32) -> Result<T> {
    let size = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_BYTES {
        return Err(Error::data(path, None, format!("{size} bytes is no list of files")));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let at_file = |error| Error::data(path, None, format!("not of this format: {error}"));
    let head: Head = serde_json::from_slice(&bytes).map_err(at_file)?;
    if head.format != format {
        let reason = format!("`format` is {:?}, expected {format:?}", head.format);
        return Err(Error::data(path, None, reason));
    }
    if head.version != version {
        let reason = format!("`version` is {}, expected {version}", head.version);
        return Err(Error::data(path, None, reason));
    }
    serde_json::from_slice(&bytes).map_err(at_file)
}

/// Writes a JSON file, whole or not at all.
///
/// # Errors
/// [`Error::Core`] with the system's words.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::data(path, None, format!("cannot be written as JSON: {error}")))?;
    Ok(write_file(path, &text)?)
}

/// Puts what was written to a file on the disk.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn sync(path: &Path, file: &mut BufWriter<File>) -> Result<()> {
    file.flush().and_then(|()| file.get_ref().sync_data()).map_err(Error::io("write", path))
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(Error::io("remove", path)),
    }
}
