//! Checkpoints in several files, which an index names.
//!
//! An index comes from the same place as the weights and is trusted no more than they are: it can
//! name nothing but plain files of its own folder.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::safetensors::Pairs;
use crate::{Error, Result};

/// Name of the format in messages.
const FORMAT: &str = "weight index";

/// Larger than any real index by a factor of a thousand.
const MAX_INDEX: u64 = 100_000_000;

#[derive(Deserialize)]
struct IndexFile {
    weight_map: Pairs<String>,
}

/// The names of an index, by shard.
pub(super) struct Index {
    path: PathBuf,
    /// Paths of the shards with the tensors that each has to hold, in the order of their names.
    pub shards: Vec<(PathBuf, Vec<String>)>,
}

impl Index {
    /// Reads an index and checks that its shards are files of the same folder.
    pub fn open(path: &Path) -> Result<Self> {
        let text = read_bounded(path)?;
        let index: IndexFile = serde_json::from_slice(&text)
            .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
        let mut by_shard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, shard) in index.weight_map.0 {
            by_shard.entry(shard).or_default().push(tensor);
        }
        if by_shard.is_empty() {
            return Err(Error::format(path, FORMAT, "`weight_map` is empty"));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let shards = by_shard
            .into_iter()
            .map(|(shard, tensors)| Ok((resolve(path, folder, &shard)?, tensors)))
            .collect::<Result<_>>()?;
        Ok(Self { path: path.to_path_buf(), shards })
    }

    /// Checks the names that the shards really hold, given in the order of `shards`.
    ///
    /// A tensor that the index does not list is left to the audit; one that lies in two shards is
    /// ambiguous and refused.
    pub fn check(&self, held: &[Vec<&str>]) -> Result<()> {
        let mut seen: HashMap<&str, &Path> = HashMap::new();
        for ((shard, listed), names) in self.shards.iter().zip(held) {
            for name in names {
                if let Some(other) = seen.insert(name, shard) {
                    let (one, two) = (file_name(other), file_name(shard));
                    let reason = format!("tensor `{name}` lies in both {one} and {two}");
                    return Err(Error::format(&self.path, FORMAT, reason));
                }
            }
            for name in listed {
                if seen.get(name.as_str()) != Some(&shard.as_path()) {
                    let reason = format!(
                        "tensor `{name}` is listed in {}, which lacks it",
                        file_name(shard)
                    );
                    return Err(Error::format(&self.path, FORMAT, reason));
                }
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut text = Vec::new();
    file.take(MAX_INDEX + 1).read_to_end(&mut text).map_err(Error::io("read", path))?;
    if text.len() as u64 > MAX_INDEX {
        let reason = format!("the file has more than {MAX_INDEX} bytes");
        return Err(Error::format(path, FORMAT, reason));
    }
    Ok(text)
}

/// The path of a shard, which has to be a plain name for a file that really lies in the folder.
fn resolve(index: &Path, folder: &Path, shard: &str) -> Result<PathBuf> {
    let refuse = |reason: String| Err(Error::format(index, FORMAT, reason));
    let mut components = Path::new(shard).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == shard);
    // A backslash separates folders elsewhere; a checkpoint has to mean the same everywhere.
    if !plain || shard.contains(['/', '\\', ':', '\0']) {
        return refuse(format!("shard \"{shard}\" is not the plain name of a file in this folder"));
    }
    let path = folder.join(shard);
    if !path.exists() {
        return refuse(format!("shard \"{shard}\" is not in this folder"));
    }
    let real = path.canonicalize().map_err(Error::io("resolve", &path))?;
    let home = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let home = home.canonicalize().map_err(Error::io("resolve", home))?;
    let parent = real.parent();
    if parent != Some(home.as_path()) && (parent.is_none() || parent != blobs(&home).as_deref()) {
        return refuse(format!("shard \"{shard}\" is a link that leads out of this folder"));
    }
    Ok(path)
}

/// Where the files of a snapshot in the hub's cache really lie: `repo/snapshots/commit` holds
/// nothing but links to `repo/blobs`.
fn blobs(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.parent()?;
    (snapshots.file_name()? == "snapshots").then(|| snapshots.with_file_name("blobs"))
}
