//! A model among other files: a training run's log and checkpoints lie in the same folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{sync_folder, sync_tree};
use crate::weights::Checkpoint;
use crate::{Error, Result};

/// The file that makes a folder a model: it is taken away first and put in place last.
const CONFIG: &str = "config.json";

/// Writes the files of a model into a folder that has other content, which stays.
///
/// `write` is given the path of an empty temporary folder; its files take the place of those of the
/// same names when `write` has returned `Ok`. At every moment the folder holds the whole earlier
/// model, no model (no `config.json`) or the whole new one. Weight files of an earlier model go, and
/// what a process that was killed had begun to write here.
///
/// # Errors
/// [`Error::Io`], and whatever `write` returns; the earlier model is then untouched, unless the disk
/// fails while names are changed.
pub fn write_within<E: From<Error>>(
    folder: impl AsRef<Path>,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    remove_unfinished(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(".writing-")
        .tempdir_in(folder)
        .map_err(Error::io("create", folder))?;
    write(temporary.path())?;
    sync_tree(temporary.path())?;
    let mut names = Vec::new();
    for entry in fs::read_dir(temporary.path()).map_err(Error::io("read", temporary.path()))? {
        names.push(entry.map_err(Error::io("read", temporary.path()))?.file_name());
    }
    remove_if_there(&folder.join(CONFIG))?;
    remove_weights(folder)?;
    names.sort_by_key(|name: &OsString| name == CONFIG);
    for name in names {
        let place = folder.join(&name);
        if place.is_dir() {
            // Goes with the temporary folder; a folder with content cannot be renamed over.
            let aside = temporary.path().join(format!(".old-{}", name.display()));
            fs::rename(&place, aside).map_err(Error::io("rename", &place))?;
        }
        fs::rename(temporary.path().join(&name), &place).map_err(Error::io("rename", &place))?;
    }
    sync_folder(folder).map_err(E::from)
}

/// Removes what processes that were killed had begun to write here.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_unfinished(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed =
                if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Whether a name is one that files and folders have while they are being written.
#[must_use]
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(".writing-")
}

/// Removes the weights of an earlier model, in whatever form: readers might prefer them.
fn remove_weights(folder: &Path) -> Result<()> {
    while let Ok(earlier) = Checkpoint::open(folder) {
        let files: Vec<PathBuf> = earlier.files().to_vec();
        let index = earlier.path().to_path_buf();
        drop(earlier);
        files.iter().chain([&index]).try_for_each(|file| remove_if_there(file))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn other_content_stays_and_files_of_the_model_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("run");
        for sub in ["checkpoints", "adapter/old"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        put(&folder, "metrics.jsonl", "log");
        put(&folder, CONFIG, "old");
        put(&folder, ".writing-x", "half");
        write_within::<Error>(&folder, |new| {
            put(new, CONFIG, "new");
            put(new, "README.md", "card");
            fs::create_dir(new.join("adapter")).unwrap();
            Ok(())
        })
        .unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(
            [read(CONFIG), read("README.md"), read("metrics.jsonl")],
            ["new", "card", "log"]
        );
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 5);
        assert_eq!(fs::read_dir(folder.join("adapter")).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_leaves_the_earlier_model() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), CONFIG, "old");
        let failure = write_within::<Error>(home.path(), |new| {
            put(new, CONFIG, "half");
            Err(Error::argument("anything", 1, 2))
        });
        assert!(failure.is_err());
        assert_eq!(fs::read_to_string(home.path().join(CONFIG)).unwrap(), "old");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
