//! Claims about reading and writing weights. Files are made byte by byte here, so that every way
//! to be malformed can be told apart.

mod audit;
mod hdf5;
mod pytorch;
mod safetensors;
mod save;
mod sharded;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Checkpoint, names};
use crate::{Gpt2Config, Result};

/// A model with every kind of parameter and a few hundred numbers.
fn small() -> Gpt2Config {
    Gpt2Config {
        vocab_size: 5,
        n_positions: 3,
        n_embd: 4,
        n_head: 2,
        n_layer: 2,
        ..Gpt2Config::gpt2()
    }
}

/// A tensor on its way into a hand-made file.
#[derive(Clone)]
struct Stored {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.to_string(), dtype: "F32", shape: shape.to_vec(), bytes }
    }
}

/// Different numbers for every tensor, so that a mix-up shows.
fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed: u32 = name.bytes().map(u32::from).sum();
    (0..shape.iter().product::<usize>()).map(|i| (seed + i as u32) as f32 / 64.0 - 8.0).collect()
}

/// The parameters of [`small`] under their published names.
fn model() -> Vec<Stored> {
    names::parameters(&small())
        .into_iter()
        .map(|(name, shape)| Stored::f32(&names::published(&name), &shape, &values(&name, &shape)))
        .collect()
}

/// A well-formed header for tensors that follow each other.
fn header(tensors: &[Stored]) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("__metadata__".to_string(), json!({"format": "pt"}));
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.bytes.len();
        let info =
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), info);
        start = end;
    }
    header
}

/// A file of a given header and data.
fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn data(tensors: &[Stored]) -> Vec<u8> {
    tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect()
}

fn safetensors_file(tensors: &[Stored]) -> Vec<u8> {
    file_of(&Value::Object(header(tensors)).to_string(), &data(tensors))
}

fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Audits the checkpoint of a folder and reads all of it.
fn load(folder: &Path, config: &Gpt2Config) -> Result<Vec<(String, Vec<f32>)>> {
    let checkpoint = Checkpoint::open(folder)?;
    let mut reader = checkpoint.audit(config)?;
    let tensors = names::parameters(config)
        .into_iter()
        .map(|(name, _)| Ok((name.clone(), reader.read(&name)?)))
        .collect::<Result<_>>()?;
    reader.finish()?;
    Ok(tensors)
}

/// Checks that a folder holds exactly the numbers of [`model`].
fn assert_is_model(folder: &Path) {
    for (name, found) in load(folder, &small()).unwrap() {
        let shape = [found.len()];
        assert_eq!(found, values(&name, &shape), "{name}");
    }
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("the file was accepted"),
        Err(error) => error.to_string(),
    }
}
