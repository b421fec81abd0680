//! The files of a tokenizer folder: found, read within limits, and kept so that saving returns them unchanged.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{Error, Result};

pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const VOCAB: &str = "vocab.json";
pub(super) const MERGES: &str = "merges.txt";
pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
pub(super) const ADDED_TOKENS: &str = "added_tokens.json";

pub(super) const SENTENCEPIECE: &str = "spiece.model";

/// Names of SentencePiece models in Hugging Face's folders, best first.
const MODELS: [&str; 5] = [
    SENTENCEPIECE,
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
];

/// Name when saved, and the names under which a folder may hold it, best first. The second names are those of the
/// first release.
const NAMES: [(&str, &[&str]); 6] = [
    (TOKENIZER, &[TOKENIZER]),
    (VOCAB, &[VOCAB, "encoder.json"]),
    (MERGES, &[MERGES, "vocab.bpe"]),
    (CONFIG, &[CONFIG]),
    (SPECIAL_TOKENS, &[SPECIAL_TOKENS]),
    (ADDED_TOKENS, &[ADDED_TOKENS]),
];

/// Whether a tokenizer saves a file of this name.
pub(super) fn is_own(name: &str) -> bool {
    MODELS.contains(&name) || NAMES.iter().any(|(own, _)| *own == name)
}

/// Thirty times the size of GPT-2's `tokenizer.json`; larger files are refused before they are read.
const MAX_BYTES: u64 = 64 << 20;

/// One file, as it was.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    /// The name under which it is saved.
    pub(super) name: &'static str,
    /// Where it came from; only a name for a file that was made in memory.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl SourceFile {
    /// Parses JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when it is not JSON, [`Error::Tokenizer`] when it is JSON of another shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|source| match source.classify() {
            serde_json::error::Category::Data => self.error(source),
            _ => Error::Json { path: self.path.clone(), source },
        })
    }

    /// The content as text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when it is not UTF-8.
    pub(super) fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes).map_err(|e| {
            self.error(format!("not UTF-8 at byte {}, expected UTF-8 text", e.valid_up_to()))
        })
    }

    /// An error that names this file.
    pub(super) fn error(&self, reason: impl ToString) -> Error {
        Error::Tokenizer { path: Some(self.path.clone()), reason: reason.to_string() }
    }
}

/// Everything of a folder that concerns its tokenizer.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceFiles {
    files: Vec<SourceFile>,
}

impl SourceFiles {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] for a file that is too large.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
        let mut files = Vec::new();
        for (name, found_as) in NAMES {
            for file_name in found_as {
                let path = folder.join(file_name);
                if let Some(bytes) = read_bounded(&path)? {
                    files.push(SourceFile { name, path, bytes });
                    break;
                }
            }
        }
        let has_tokenizer =
            files.iter().any(|file| [TOKENIZER, VOCAB, MERGES].contains(&file.name));
        let other = if has_tokenizer { None } else { only_model(folder)? };
        for (name, path) in MODELS.map(|name| (name, folder.join(name))).into_iter().chain(other) {
            if let Some(bytes) = read_bounded(&path)? {
                files.push(SourceFile { name, path, bytes });
                break;
            }
        }
        Ok(Self { files })
    }

    /// The SentencePiece model.
    pub(super) fn model(&self) -> Option<&SourceFile> {
        self.files.iter().find(|file| MODELS.contains(&file.name))
    }

    /// A file by the name under which it is saved.
    pub(super) fn get(&self, name: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Adds a file that no folder holds.
    pub(super) fn insert(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.files.push(SourceFile { name, path: PathBuf::from(name), bytes });
    }

    /// The files themselves.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// Names as found in the folder.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.files.iter().filter_map(|file| file.path.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// The only `.model` of a folder, if there is one, with the name under which it is saved.
///
/// # Errors
/// [`Error::Io`], or [`Error::Tokenizer`] when there are several and none has a name that says which it is.
fn only_model(folder: &Path) -> Result<Option<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "model") && path.is_file() {
            found.push(path);
        }
    }
    let is_known =
        |path: &PathBuf| path.file_name().is_some_and(|n| MODELS.iter().any(|m| n == *m));
    if found.len() > 1 && !found.iter().any(is_known) {
        let reason = format!("{} files end in .model, expected one or {}", found.len(), MODELS[0]);
        return Err(Error::Tokenizer { path: Some(folder.to_path_buf()), reason });
    }
    Ok(found.pop().map(|path| (MODELS[0], path)))
}

/// `None` when there is no such file.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let stated = file.metadata().map_err(Error::io("read", path))?.len();
    let mut bytes = Vec::new();
    if stated <= MAX_BYTES {
        // The limit holds while reading too: the length of a pipe or of a growing file says nothing.
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    }
    if stated.max(bytes.len() as u64) > MAX_BYTES {
        let reason = format!("larger than {MAX_BYTES} bytes, expected a tokenizer file");
        return Err(Error::format(path, "tokenizer file", reason));
    }
    Ok(Some(bytes))
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let write = || {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|e| {
        // The first error is the one worth telling; a remainder that cannot be removed changes nothing about it.
        let _ = std::fs::remove_file(&partial);
        Error::io("write", path)(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_first_release_are_read_as_todays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("encoder.json"), "{}").unwrap();
        std::fs::write(folder.path().join("vocab.bpe"), "#version: 0.2\n").unwrap();
        let files = SourceFiles::read(folder.path()).unwrap();
        assert_eq!(files.get(VOCAB).unwrap().bytes, b"{}");
        assert!(files.get(MERGES).is_some());
        assert_eq!(files.names(), ["encoder.json", "vocab.bpe"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere");
        let error = SourceFiles::read(&missing).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    #[test]
    fn an_oversized_file_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join(VOCAB)).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let error = SourceFiles::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
