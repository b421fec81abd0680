//! Whether a checkpoint is what was written: a flipped byte in a weight would be a number like any other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use gpt2_core::folder::write_file;
use xxhash_rust::xxh3::Xxh3;

use super::IDENTITY;
use crate::{Error, Result};

/// XXH3-128 of every file of the checkpoint but this one and that of the identity, which is compared field by
/// field; by paths relative to the folder.
const CHECKSUMS: &str = "checksums.json";

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Writes the checksums of what is in the folder of a checkpoint.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found)?;
    let path = folder.join(CHECKSUMS);
    let text =
        serde_json::to_string_pretty(&found).map_err(|error| Error::data(&path, None, error))?;
    Ok(write_file(path, format!("{text}\n").as_bytes())?)
}

/// Compares every file with its checksum.
///
/// # Errors
/// [`Error::Data`] naming the first file that is damaged; [`Error::Io`] naming one that is missing.
pub(super) fn check(folder: &Path) -> Result<()> {
    let path = folder.join(CHECKSUMS);
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let stored: BTreeMap<String, String> = serde_json::from_str(&text)
        .map_err(|error| Error::data(&path, error.line(), format!("no checksums: {error}")))?;
    for (name, expected) in stored {
        let path = folder.join(name);
        let found = hash_of(&path)?;
        if found != expected {
            let reason = format!("damaged: its checksum is {found}, expected {expected}");
            return Err(Error::data(&path, None, reason));
        }
    }
    Ok(())
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = format!("{prefix}{}", name.to_string_lossy());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found)?;
        } else if name != IDENTITY {
            found.insert(name, hash_of(&path)?);
        }
    }
    Ok(())
}

fn hash_of(path: &Path) -> Result<String> {
    // A pipe or a device would never end.
    if !fs::metadata(path).map_err(Error::io("read", path))?.is_file() {
        return Err(Error::data(path, None, "this is not a regular file"));
    }
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let (mut hash, mut piece) = (Xxh3::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(Error::io("read", path))? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            count => hash.update(&piece[..count]),
        }
    }
}
