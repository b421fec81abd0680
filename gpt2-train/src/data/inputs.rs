//! From what a command line names to data files.

use std::fs;
use std::path::{Path, PathBuf};

use super::work_folder::{UNFINISHED, UNFINISHED_REASON};
use crate::{Error, Result};

/// The data files that some paths stand for, in their order.
///
/// - a file is itself, whatever its name;
/// - a folder is all `.txt` and `.jsonl` files in it and in the folders below it, in the order of their paths, without
///   hidden ones; links to folders are not followed;
/// - anything else with `*`, `?` or `[` in it is a pattern as a shell has it (`**` for folders at any depth), and stands
///   for the files that match, in the order of their paths.
///
/// # Errors
/// [`Error::Data`] for a device, a folder that another command has not finished, a folder or pattern that stands for no file, or
/// a pattern that is none; [`Error::Io`] for a path that is not there and a folder that cannot be read.
///
/// # Example
/// ```no_run
/// let files = gpt2_train::data::find_files(&["stories".into(), "more/*.txt".into()])?;
/// # Ok::<(), gpt2_train::Error>(())
/// ```
pub fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => files.extend(files_below(path)?),
            // Some of them, as /dev/zero, have no end.
            Ok(found) if is_device(&found) => {
                return Err(Error::data(path, None, "a device, expected a file or a folder"));
            }
            Ok(_) => files.push(path.clone()),
            Err(error) => match path.to_str().filter(|text| text.contains(['*', '?', '['])) {
                Some(pattern) => files.extend(matches(path, pattern)?),
                None => return Err(Error::io("read", path)(error)),
            },
        }
    }
    Ok(files)
}

#[cfg(unix)]
fn is_device(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&found.file_type())
}

#[cfg(not(unix))]
fn is_device(_found: &fs::Metadata) -> bool {
    false
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.join(UNFINISHED).is_file() {
        return Err(Error::data(folder, None, UNFINISHED_REASON));
    }
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(Error::io("read", &path))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "txt" || kind == "jsonl")
                && (kind.is_file() || path.is_file())
            {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Err(Error::data(folder, None, "there is no .txt or .jsonl file in this folder"));
    }
    files.sort();
    Ok(files)
}

fn matches(path: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(pattern, options)
        .map_err(|error| Error::data(path, None, format!("not a pattern: {error}")))?;
    let mut files = Vec::new();
    for file in found {
        let file = file.map_err(|error| {
            let folder = error.path().to_path_buf();
            Error::io("read", folder)(error.into())
        })?;
        if file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::data(path, None, "no file matches this pattern"));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files, and the paths that `find_files` gives below it.
    fn found(given: &[&str]) -> Result<Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "b.txt",
            "a/c.jsonl",
            "a/b/d.txt",
            "a.md",
            ".e.txt",
            ".f/g.txt",
            "n/x.md",
            "u/unfinished.json",
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::create_dir(root.path().join("empty")).unwrap();
        fs::write(root.path().join("[1].txt"), "text").unwrap();
        let given: Vec<PathBuf> = given.iter().map(|name| root.path().join(name)).collect();
        let name = |path: PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        Ok(find_files(&given)?.into_iter().map(name).collect())
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_refused() {
        let error = find_files(&["/dev/zero".into()]).unwrap_err().to_string();
        assert!(error.contains("/dev/zero: a device, expected a file"), "{error}");
    }

    #[test]
    fn folders_and_patterns_stand_for_their_files_in_order() {
        assert_eq!(found(&[""]).unwrap(), ["[1].txt", "a/b/d.txt", "a/c.jsonl", "b.txt"]);
        assert_eq!(found(&["b.txt", "a"]).unwrap(), ["b.txt", "a/b/d.txt", "a/c.jsonl"]);
        assert_eq!(found(&["*"]).unwrap(), ["[1].txt", "a.md", "b.txt"]);
        assert_eq!(found(&["**/*.txt"]).unwrap(), ["[1].txt", "a/b/d.txt", "b.txt"]);
        assert_eq!(found(&["a/?.json[kl]"]).unwrap(), ["a/c.jsonl"]);
        // A file of this very name is no pattern.
        assert_eq!(found(&["[1].txt"]).unwrap(), ["[1].txt"]);
    }

    #[test]
    fn what_stands_for_no_file_is_named() {
        for (given, parts) in [
            ("empty", ["empty: ", "no .txt or .jsonl"]),
            ("n", ["n: ", "no .txt or .jsonl"]),
            ("*.pdf", ["*.pdf: ", "no file matches"]),
            ("a[.txt", ["a[.txt: ", "not a pattern"]),
            ("z.txt", ["z.txt: ", "cannot read"]),
            ("u", ["u: ", "not complete"]),
        ] {
            let message = found(&["b.txt", given]).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.txt"), "text").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        std::os::unix::fs::symlink(root.path().join("a.txt"), root.path().join("b.txt")).unwrap();
        let found = find_files(&[root.path().to_path_buf()]).unwrap();
        assert_eq!(found, ["a.txt", "b.txt"].map(|name| root.path().join(name)));
    }
}
