//! Files and folders that are written whole or not at all.
//!
//! What is being written lies under a hidden name beside its destination, is flushed to the disk,
//! and takes its place by a rename, which either happens or does not.

mod within;

pub use within::{is_unfinished, remove_unfinished, write_within};

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::read_object;
use crate::{Error, Result};

/// Writes a file, whole or not at all; an earlier file of this name is replaced.
///
/// # Errors
/// [`Error::Io`]; the earlier file is then untouched.
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_file_with(path, |file| file.write_all(bytes).map_err(Error::io("write", path)))
}

/// As [`write_file`], for content that is produced piece by piece.
pub(crate) fn write_file_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let parent = parent_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    // A temporary file is private by default; a published one follows the user's mask.
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut temporary = builder.tempfile_in(parent).map_err(Error::io("create", path))?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(Error::io("write", path))?;
    temporary.persist(path).map_err(|error| Error::io("rename", path)(error.error))?;
    sync_folder(parent)
}

/// Writes JSON, pretty-printed with a final line end, as `transformers` writes its files.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    write_file(path, format!("{text}\n").as_bytes())
}

/// Writes a folder, whole or not at all.
///
/// `write` is given the path of an empty temporary folder beside `destination`, which takes its
/// place when `write` has returned `Ok`. Missing parents are created. An existing destination is
/// replaced if it is empty or holds an earlier GPT-2 model, that is, a `config.json` with
/// `"model_type": "gpt2"` and no sub-folders but that of an adapter, or an earlier adapter, that is,
/// an `adapter_config.json` with `"peft_type": "LORA"` and no sub-folders.
///
/// # Errors
/// [`Error::Argument`] when the destination holds anything else; [`Error::Io`]; and whatever
/// `write` returns. In all cases the destination is as it was and the temporary folder is gone.
///
/// # Example
/// ```no_run
/// use gpt2_core::{Gpt2Config, folder::{write_file, write_folder}};
///
/// let config = Gpt2Config::gpt2();
/// write_folder("my-model", |folder| {
///     write_file(folder.join("config.json"), config.to_json().to_string().as_bytes())
/// })?;
/// # Ok::<(), gpt2_core::Error>(())
/// ```
pub fn write_folder<E: From<Error>>(
    destination: impl AsRef<Path>,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    write_checked(destination.as_ref(), check_replaceable, write)
}

/// As [`write_folder`], but what is replaced is a folder of which `is_known` knows all files: that of an earlier `what`.
///
/// # Errors
/// As [`check_known`] and [`write_folder`].
pub fn write_known<E: From<Error>>(
    destination: impl AsRef<Path>,
    what: &str,
    is_known: impl Fn(&str) -> bool,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    write_checked(destination.as_ref(), |path| check_known(path, what, &is_known), write)
}

fn write_checked<E: From<Error>>(
    destination: &Path,
    check: impl Fn(&Path) -> Result<bool>,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let destination = real_destination(destination)?;
    let parent = parent_of(&destination);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    // Asked before the work, not after hours of it, and once more when it is done.
    check(&destination)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let temporary = builder.tempdir_in(parent).map_err(Error::io("create", &destination))?;
    write(temporary.path())?;
    sync_tree(temporary.path())?;
    if check(&destination)? {
        swap(temporary.path(), &destination, parent)?;
    } else {
        fs::rename(temporary.path(), &destination).map_err(Error::io("rename", &destination))?;
    }
    // It lives on under its new name, so there is nothing left to remove.
    let _ = temporary.keep();
    sync_folder(parent).map_err(E::from)
}

/// A link to a folder stands for that folder: the link stays, what it points to is replaced.
fn real_destination(destination: &Path) -> Result<PathBuf> {
    if destination.file_name().is_none() {
        let expected = "a path that ends in a folder's name";
        return Err(Error::argument("destination", destination.display(), expected));
    }
    if destination.is_symlink() {
        return destination.canonicalize().map_err(Error::io("resolve", destination));
    }
    Ok(destination.to_path_buf())
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that a run may write into a folder: it is new, empty, or holds an earlier GPT-2 model or
/// the sub-folders and files that `is_known` knows.
///
/// # Errors
/// [`Error::Argument`] naming what else is there; [`Error::Io`].
pub fn check_run_folder(folder: impl AsRef<Path>, is_known: impl Fn(&str) -> bool) -> Result<()> {
    let folder = folder.as_ref();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) if folder.is_file() => {
            let expected = "a path for a folder";
            return Err(Error::argument(
                "destination",
                format!("{} (a file)", folder.display()),
                expected,
            ));
        }
        other => other.map_err(Error::io("read", folder))?,
    };
    if says(&folder.join("config.json"), "model_type", "gpt2") {
        return Ok(());
    }
    for entry in entries {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        let name = name.to_string_lossy();
        if !is_known(&name) && !is_unfinished(&name) {
            let found = format!("{} (a folder with {name})", folder.display());
            let expected = "a new path, an empty folder, or the folder of an earlier run";
            return Err(Error::argument("destination", found, expected));
        }
    }
    Ok(())
}

/// Whether something is there that may be replaced; an error if it may not.
fn check_replaceable(destination: &Path) -> Result<bool> {
    let refuse = |found: &str| {
        let found = format!("{} ({found})", destination.display());
        let expected =
            "a new path, an empty folder, or the folder of an earlier GPT-2 model or adapter";
        Err(Error::argument("destination", found, expected))
    };
    match destination.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("read", destination)(error)),
        Ok(metadata) if !metadata.is_dir() => return refuse("a file"),
        Ok(_) => {}
    }
    let mut is_empty = true;
    for entry in fs::read_dir(destination).map_err(Error::io("read", destination))? {
        let entry = entry.map_err(Error::io("read", destination))?;
        is_empty = false;
        // A model folder has no other, and what might lie in it is too much to lose.
        let is_folder = entry.file_type().map_err(Error::io("read", entry.path()))?.is_dir();
        if is_folder && !is_adapter(&entry.path())? {
            let name = entry.file_name();
            return refuse(&format!("a folder with the sub-folder {}", name.to_string_lossy()));
        }
    }
    let is_model = says(&destination.join("config.json"), "model_type", "gpt2");
    if !is_empty && !is_model && !is_adapter(destination)? {
        return refuse("a folder with other content");
    }
    Ok(true)
}

/// Whether a folder is there, of which `is_known` knows all files: that of an earlier `what`, or an empty one.
///
/// # Errors
/// [`Error::Argument`] naming what else is there; [`Error::Io`].
pub fn check_known(
    destination: impl AsRef<Path>,
    what: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<bool> {
    let destination = destination.as_ref();
    let refuse = |found: &str| {
        let found = format!("{} ({found})", destination.display());
        let expected = format!("a new path, an empty folder, or the folder of {what} alone");
        Err(Error::argument("destination", found, expected))
    };
    match destination.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("read", destination)(error)),
        Ok(metadata) if !metadata.is_dir() => return refuse("a file"),
        Ok(_) => {}
    }
    for entry in fs::read_dir(destination).map_err(Error::io("read", destination))? {
        let name = entry.map_err(Error::io("read", destination))?.file_name();
        let name = name.to_string_lossy();
        if !is_known(&name) {
            return refuse(&format!("a folder with {name}"));
        }
    }
    Ok(true)
}

/// Whether this is the folder of an adapter, with nothing below it.
fn is_adapter(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        if entry.file_type().map_err(Error::io("read", entry.path()))?.is_dir() {
            return Ok(false);
        }
    }
    Ok(says(&folder.join("adapter_config.json"), "peft_type", "LORA"))
}

/// Whether a file is a JSON object with this string.
fn says(path: &Path, key: &str, value: &str) -> bool {
    read_object(path).is_ok_and(|object| object.get(key).and_then(Value::as_str) == Some(value))
}

/// Puts `new` in the place of `old`, or leaves `old` there.
fn swap(new: &Path, old: &Path, parent: &Path) -> Result<()> {
    let aside = tempfile::Builder::new()
        .prefix(".replaced-")
        .tempdir_in(parent)
        .map_err(Error::io("create", old))?;
    let kept = aside.path().join("old");
    fs::rename(old, &kept).map_err(Error::io("rename", old))?;
    if let Err(error) = fs::rename(new, old) {
        if let Err(stuck) = fs::rename(&kept, old) {
            // The old folder must survive even here, under a name that the message gives.
            let kept = aside.keep().join("old");
            return Err(Error::io("move back", kept)(stuck));
        }
        return Err(Error::io("rename", old)(error));
    }
    // The new folder stands; failing to remove the old one is no reason to say it does not.
    let _ = aside.close();
    Ok(())
}

/// Flushes every file and folder below a folder.
fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io("read", &path))?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(Error::io("flush", &path))?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in a folder permanent.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::io("flush", folder))
}

/// Elsewhere a folder cannot be opened, and a rename is as permanent as it gets.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = br#"{"model_type": "gpt2"}"#;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write_model(folder: &Path) -> Result<()> {
        write_file(folder.join("config.json"), CONFIG)?;
        write_file(folder.join("new"), b"new")
    }

    /// A fresh folder, and a path in it to write to.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let destination = home.path().join("model");
        (home, destination)
    }

    fn failure(folder: &Path) -> Result<()> {
        fs::write(folder.join("half"), "done").unwrap();
        Err(Error::argument("anything", 1, 2))
    }

    #[test]
    fn a_folder_appears_whole_with_its_parents() {
        let home = tempfile::tempdir().unwrap();
        let destination = home.path().join("a/b/model");
        write_folder(&destination, write_model).unwrap();
        assert_eq!(names(&destination), ["config.json", "new"]);
        assert_eq!(names(destination.parent().unwrap()), ["model"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let (home, destination) = place();
        write_folder(&destination, failure).unwrap_err();
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let (home, destination) = place();
        let panic = std::panic::catch_unwind(|| {
            write_folder::<Error>(&destination, |_| panic!("on purpose"))
        });
        assert!(panic.is_err());
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn an_empty_folder_is_replaced() {
        let (home, destination) = place();
        fs::create_dir(&destination).unwrap();
        write_folder(&destination, write_model).unwrap();
        assert_eq!(names(&destination), ["config.json", "new"]);
        assert_eq!(names(home.path()), ["model"]);
    }

    #[test]
    fn an_earlier_model_is_replaced_whole_or_kept_whole() {
        let (home, destination) = place();
        fs::create_dir(&destination).unwrap();
        fs::write(destination.join("config.json"), CONFIG).unwrap();
        fs::write(destination.join("old"), "old").unwrap();
        write_folder(&destination, failure).unwrap_err();
        assert_eq!(names(&destination), ["config.json", "old"]);
        write_folder(&destination, write_model).unwrap();
        assert_eq!(names(&destination), ["config.json", "new"]);
        assert_eq!(names(home.path()), ["model"]);
    }

    #[test]
    fn what_is_no_model_is_never_replaced() {
        for (name, bytes) in [
            ("thesis.txt", b"five years".as_slice()),
            ("config.json", br#"{"model_type": "llama"}"#),
            ("config.json", b"{}"),
            ("config.json", b"not json"),
        ] {
            let (home, destination) = place();
            fs::create_dir(&destination).unwrap();
            fs::write(destination.join(name), bytes).unwrap();
            let text =
                write_folder::<Error>(&destination, |_| panic!("asked too late")).unwrap_err();
            assert!(text.to_string().contains("other content"), "{text}");
            assert_eq!(fs::read(destination.join(name)).unwrap(), bytes);
            assert_eq!(names(home.path()), ["model"]);
        }
    }

    #[test]
    fn a_model_with_sub_folders_is_never_replaced() {
        let (_home, destination) = place();
        fs::create_dir_all(destination.join("checkpoint-500")).unwrap();
        fs::write(destination.join("config.json"), CONFIG).unwrap();
        let text = write_folder(&destination, write_model).unwrap_err().to_string();
        assert!(text.contains("checkpoint-500"), "{text}");
    }

    #[test]
    fn an_adapter_is_replaced_alone_and_below_its_model() {
        let (_home, destination) = place();
        let write_adapter = |folder: &Path| {
            write_file(folder.join("adapter_config.json"), br#"{"peft_type": "LORA"}"#)
        };
        write_folder(&destination, write_adapter).unwrap();
        write_folder(&destination, |folder| {
            write_model(folder)?;
            write_folder(folder.join("adapter"), write_adapter)
        })
        .unwrap();
        assert_eq!(names(&destination), ["adapter", "config.json", "new"]);
        fs::create_dir(destination.join("adapter/notes")).unwrap();
        let text = write_folder(&destination, write_model).unwrap_err().to_string();
        assert!(text.contains("sub-folder adapter"), "{text}");
        fs::remove_dir(destination.join("adapter/notes")).unwrap();
        write_folder(&destination, write_model).unwrap();
        assert_eq!(names(&destination), ["config.json", "new"]);
    }

    #[test]
    fn what_has_unknown_files_is_never_replaced() {
        let (_home, destination) = place();
        let write = |name: &'static str| {
            let is_known = |name: &str| name.starts_with("vocab");
            write_known(&destination, "a tokenizer", is_known, |folder| {
                write_file(folder.join(name), b"new")
            })
        };
        write("vocab.json").unwrap();
        write("vocab.txt").unwrap();
        assert_eq!(names(&destination), ["vocab.txt"]);
        write("config.json").unwrap();
        let text = write("vocab.json").unwrap_err().to_string();
        assert!(text.contains("config.json") && text.contains("a tokenizer alone"), "{text}");
        assert_eq!(names(&destination), ["config.json"]);
    }

    #[test]
    fn a_file_is_no_folder() {
        let (_home, destination) = place();
        fs::write(&destination, "a file").unwrap();
        write_folder(&destination, write_model).unwrap_err();
        assert_eq!(fs::read(&destination).unwrap(), b"a file");
        write_folder("/", write_model).unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_folder_is_replaced() {
        let (home, destination) = place();
        let link = home.path().join("link");
        fs::create_dir(&destination).unwrap();
        std::os::unix::fs::symlink(&destination, &link).unwrap();
        write_folder(&link, write_model).unwrap();
        assert!(link.is_symlink());
        assert_eq!(names(&destination), ["config.json", "new"]);
    }

    #[test]
    fn a_file_is_replaced_whole_or_kept_whole() {
        let (home, destination) = place();
        write_file(&destination, b"one").unwrap();
        write_file_with(&destination, |file| {
            file.write_all(b"tw").unwrap();
            Err(Error::argument("anything", 1, 2))
        })
        .unwrap_err();
        assert_eq!(fs::read(&destination).unwrap(), b"one");
        write_file(&destination, b"two").unwrap();
        assert_eq!(fs::read(&destination).unwrap(), b"two");
        assert_eq!(names(home.path()), ["model"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_can_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let (_home, destination) = place();
        write_folder(&destination, write_model).unwrap();
        let ordinary = tempfile::tempdir().unwrap();
        fs::create_dir(ordinary.path().join("x")).unwrap();
        fs::write(ordinary.path().join("y"), "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&destination), mode(&ordinary.path().join("x")));
        assert_eq!(mode(&destination.join("new")), mode(&ordinary.path().join("y")));
    }
}
