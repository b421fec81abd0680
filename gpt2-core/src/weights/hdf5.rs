//! `tf_model.h5`: HDF5 as Keras saves the weights of `TFGPT2LMHeadModel` and its relatives.
//!
//! A weight lies at `<layer>/<model class>/transformer/h_._0/attn/c_attn/weight:0`. What comes
//! before the block or embedding depends on the class and release that saved it, so names are
//! mapped from there on, and the rest is dropped.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};

use super::checkpoint::Entry;
use super::element::Element;
use crate::{Error, Result};

/// Name of the format in messages.
const FORMAT: &str = "HDF5";

/// Keras nests seven groups; more than this is no weight file.
const MAX_DEPTH: usize = 16;

/// More than any GPT-2 has tensors.
const MAX_DATASETS: usize = 100_000;

/// An open HDF5 file; its datasets are read from the file one at a time.
pub(super) struct Hdf5Weights {
    path: PathBuf,
    datasets: Vec<Dataset>,
}

impl Hdf5Weights {
    /// Opens a file and lists its datasets under the names that PyTorch gives them.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>)> {
        let size = path.metadata().map_err(Error::io("open", path))?.len();
        let bound = usize::try_from(size.saturating_mul(2)).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(bound)
            .with_max_object_header_bytes(bound);
        let refused = |error| refused(path, error);
        let file = Hdf5File::open_with_options(path, options).map_err(refused)?;
        let mut walk = Walk::default();
        walk.visit(path, &file.root_group().map_err(refused)?, &mut Vec::new())?;
        let entries = walk.entries(bound).map_err(|e| Error::format(path, FORMAT, e))?;
        let datasets = walk.found.into_iter().map(|(_, dataset)| dataset).collect();
        Ok((Self { path: path.to_path_buf(), datasets }, entries))
    }

    /// Reads dataset number `index`.
    pub fn read(&self, index: usize, entry: &Entry) -> Result<Vec<f32>> {
        let dataset = &self.datasets[index];
        let refused = |error| refused(&self.path, error);
        if entry.element == Element::F32 {
            let mut values = vec![0f32; entry.elements()];
            let bytes = bytemuck::cast_slice_mut(&mut values);
            dataset.read_native_bytes_into(bytes).map_err(refused)?;
            return Ok(values);
        }
        let mut bytes = vec![0u8; entry.elements() * entry.element.size()];
        dataset.read_native_bytes_into(&mut bytes).map_err(refused)?;
        Ok(entry.element.convert_native(bytes, entry.elements()))
    }
}

fn refused(path: &Path, error: hdf5_reader::error::Error) -> Error {
    match error {
        hdf5_reader::error::Error::Io(source) => Error::io("read", path)(source),
        other => Error::format(path, FORMAT, other),
    }
}

/// The datasets met so far, with their paths.
#[derive(Default)]
struct Walk {
    groups: HashSet<u64>,
    found: Vec<(Vec<String>, Dataset)>,
}

impl Walk {
    /// Collects the datasets below a group; groups that contain themselves are refused.
    fn visit(&mut self, file: &Path, group: &Group, at: &mut Vec<String>) -> Result<()> {
        let malformed = |reason: &str| {
            Err(Error::format(file, FORMAT, format!("group `{}` {reason}", at.join("/"))))
        };
        if at.len() > MAX_DEPTH {
            return malformed("is nested too deep");
        }
        if !self.groups.insert(group.address()) {
            return malformed("is reached by two paths");
        }
        let (groups, datasets) = group.members().map_err(|error| refused(file, error))?;
        if self.found.len() + datasets.len() > MAX_DATASETS || self.groups.len() > MAX_DATASETS {
            return malformed("holds more datasets than a model has");
        }
        for dataset in datasets {
            let path = at.iter().cloned().chain([leaf(dataset.name())]).collect();
            self.found.push((path, dataset));
        }
        for group in groups {
            at.push(leaf(group.name()));
            self.visit(file, &group, at)?;
            at.pop();
        }
        Ok(())
    }

    /// The table of contents; `bound` limits the bytes that all datasets together may take.
    fn entries(&self, bound: usize) -> Result<Vec<Entry>, String> {
        let mut left = bound;
        self.found
            .iter()
            .map(|(path, dataset)| {
                let entry = entry(path, dataset)?;
                let size = entry.element.size();
                let bytes = entry
                    .shape
                    .iter()
                    .try_fold(size, |product, &extent| product.checked_mul(extent))
                    .filter(|&bytes| bytes <= left)
                    .ok_or_else(|| {
                        let (path, shape) = (path.join("/"), &entry.shape);
                        format!("dataset `{path}` has shape {shape:?}, more than the file can hold")
                    })?;
                left -= bytes;
                Ok(entry)
            })
            .collect()
    }
}

fn leaf(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_string()
}

fn entry(path: &[String], dataset: &Dataset) -> Result<Entry, String> {
    let mut shape = dataset
        .shape()
        .iter()
        .map(|&extent| usize::try_from(extent))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("dataset `{}` has an extent beyond memory", path.join("/")))?;
    let name = pytorch_name(path);
    // TensorFlow's Conv1D keeps its bias as one row.
    if let Some(name) = &name
        && name.ends_with(".bias")
        && matches!(shape.as_slice(), [1, _])
    {
        shape.remove(0);
    }
    let name = name.unwrap_or_else(|| path.join("/"));
    Ok(Entry { name, shape, element: element(dataset.dtype()) })
}

fn element(datatype: &Datatype) -> Element {
    match datatype {
        Datatype::FloatingPoint { size: 4, .. } => Element::F32,
        Datatype::FloatingPoint { size: 2, .. } => Element::F16,
        Datatype::FloatingPoint { size: 8, .. } => Element::F64,
        Datatype::FloatingPoint { size, .. } => {
            Element::Other(format!("F{}", 8 * u32::from(*size)))
        }
        Datatype::FixedPoint { size, signed, .. } => {
            let letter = if *signed { 'I' } else { 'U' };
            Element::Other(format!("{letter}{}", 8 * u32::from(*size)))
        }
        _ => Element::Other("not a number".to_string()),
    }
}

/// `["transformer", "tfgpt2lm_head_model", "transformer", "h_._0", "ln_1", "gamma:0"]` becomes
/// `h.0.ln_1.weight`; `None` when no component is a block, an embedding or the last norm.
fn pytorch_name(path: &[String]) -> Option<String> {
    let at = path.iter().rposition(|part| anchor(part).is_some())?;
    let (last, between) = path[at + 1..].split_last()?;
    let leaf = match last.strip_suffix(":0").unwrap_or(last) {
        // `weight` up to transformers 4.28 or so, `embeddings` after that.
        "weight" | "embeddings" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        other => other,
    };
    let mut name = anchor(&path[at])?;
    for part in between.iter().map(String::as_str).chain([leaf]) {
        name.push('.');
        name.push_str(part);
    }
    Some(name)
}

/// The first part of a PyTorch name, for the groups that have one.
fn anchor(part: &str) -> Option<String> {
    match part {
        "wte" | "wpe" | "ln_f" => Some(part.to_string()),
        _ => {
            let layer: u32 = part.strip_prefix("h_._")?.parse().ok()?;
            // Written back to compare, so that `h_._00` and `h_._+0` are not block 0 as well.
            (part == format!("h_._{layer}")).then(|| format!("h.{layer}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> Option<String> {
        pytorch_name(&path.split('/').map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn names_do_not_depend_on_the_class_that_saved_them() {
        for class in ["tfgp_t2lm_head_model", "tfgpt2lm_head_model_1", "tfgpt2_model"] {
            for (tail, name) in [
                ("wte/weight:0", "wte.weight"),
                ("wte/embeddings:0", "wte.weight"),
                ("wpe/embeddings:0", "wpe.weight"),
                ("ln_f/gamma:0", "ln_f.weight"),
                ("h_._11/ln_2/beta:0", "h.11.ln_2.bias"),
                ("h_._0/attn/c_attn/weight:0", "h.0.attn.c_attn.weight"),
                ("h_._0/mlp/c_proj/bias:0", "h.0.mlp.c_proj.bias"),
            ] {
                let path = format!("transformer/{class}/transformer/{tail}");
                assert_eq!(named(&path).as_deref(), Some(name), "{path}");
            }
        }
    }

    #[test]
    fn what_is_no_weight_of_a_gpt2_keeps_its_path() {
        for path in ["summary/kernel:0", "h_._00/ln_1/gamma:0", "h_._x/ln_1/gamma:0", "wte"] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
