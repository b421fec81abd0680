//! `pytorch_model.bin`: a pickled dictionary with its storages beside it.
//!
//! The pickle is interpreted as data: calls other than those that rebuild a tensor are never made.
//! Both containers are read, zip (PyTorch 1.6 and later) and the older stream.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};

use super::audit::is_old_buffer;
use super::checkpoint::Entry;
use super::element::Element;
use super::names::PREFIX;
use crate::{Error, Result};

/// Name of the format in messages.
const FORMAT: &str = "pytorch_model.bin";

/// The parameter that every GPT-2 has; it tells how deep a state dict is nested.
const LANDMARK: &str = "wte.weight";

/// An open PyTorch checkpoint; its tensors are read from the file one at a time.
pub(super) struct PyTorchFile {
    path: PathBuf,
    tensors: Vec<Tensor>,
}

impl PyTorchFile {
    /// Opens a file and interprets its pickle.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>)> {
        let size = path.metadata().map_err(Error::io("open", path))?.len();
        let reader = PytorchReader::new(path).map_err(|error| refused(path, error))?;
        refuse_code(path)?;
        let mut tensors: Vec<Tensor> = reader.into_tensors().into_values().collect();
        if tensors.is_empty() {
            return Err(Error::format(path, FORMAT, "the pickle holds no tensor"));
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let outer = outer_name(&tensors).map_err(|e| Error::format(path, FORMAT, e))?;
        // What lies beside a nested state dict (optimizer, epoch counter) is none of the model.
        tensors.retain(|tensor| tensor.name.starts_with(&outer));
        check_size(&tensors, &outer, size).map_err(|e| Error::format(path, FORMAT, e))?;
        let entries = tensors
            .iter()
            .map(|tensor| Entry {
                name: tensor.name[outer.len()..].to_string(),
                shape: tensor.shape().to_vec(),
                element: element(tensor.dtype()),
            })
            .collect();
        Ok((Self { path: path.to_path_buf(), tensors }, entries))
    }

    /// Reads tensor number `index`.
    pub fn read(&self, index: usize, entry: &Entry) -> Result<Vec<f32>> {
        let bytes = self.tensors[index].read().map_err(|e| refused(&self.path, e.into()))?;
        Ok(entry.element.convert_native(bytes, entry.elements()))
    }
}

/// Refuses a pickle that asks for calls which have no place beside weights.
///
/// They were not made: the reader keeps the name of what it was asked to call and nothing else.
/// But whoever put `os.system` into a file is not to be trusted with the numbers either.
fn refuse_code(path: &Path) -> Result<()> {
    let root = PytorchReader::read_pickle_data(path, None).map_err(|e| refused(path, e))?;
    match find_code(&root) {
        None => Ok(()),
        Some(name) => {
            let reason = format!("the pickle asks for a call of `{name}`, which was not made");
            Err(Error::format(path, FORMAT, reason))
        }
    }
}

/// Packages whose objects are found in honest checkpoints.
const HARMLESS: [&str; 6] = ["torch.", "numpy.", "collections.", "argparse.", "pathlib.", "int"];

fn find_code(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::List(items) => items.iter().find_map(find_code),
        PickleValue::Dict(items) => items.values().find_map(find_code),
        PickleValue::Unsupported(name) => {
            (!HARMLESS.iter().any(|package| name.starts_with(package))).then_some(name)
        }
        _ => None,
    }
}

fn refused(path: &Path, error: PytorchError) -> Error {
    match error {
        PytorchError::Io(source) if !is_about_content(&source) => Error::io("read", path)(source),
        PytorchError::Io(source) => Error::format(path, FORMAT, source),
        other => Error::format(path, FORMAT, other),
    }
}

/// Whether an I/O error speaks of the bytes of the file rather than of the operating system.
fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn element(dtype: DType) -> Element {
    match dtype {
        DType::F32 => Element::F32,
        DType::F16 => Element::F16,
        DType::BF16 => Element::BF16,
        DType::F64 => Element::F64,
        other => Element::Other(format!("{other:?}").to_uppercase()),
    }
}

/// What stands before every name of a nested state dict (`state_dict.`, `model.`), with its dot.
fn outer_name(tensors: &[Tensor]) -> Result<String, String> {
    let outer: BTreeSet<&str> = tensors
        .iter()
        .filter_map(|tensor| tensor.name.strip_suffix(LANDMARK))
        .filter(|outer| outer.is_empty() || outer.ends_with('.'))
        .map(|outer| outer.strip_suffix(PREFIX).unwrap_or(outer))
        .collect();
    let mut outer = outer.into_iter();
    let first = outer.next().unwrap_or_default();
    match outer.next() {
        None => Ok(first.to_string()),
        Some(second) => Err(format!(
            "there is more than one model in this file: under `{first}` and under `{second}`"
        )),
    }
}

/// Refuses tensors that are larger than the file which is to hold them.
///
/// PyTorch neither compresses storages nor repeats their elements, so only a hostile file unpacks
/// to more than its size. Twice the size is allowed in all, because tensors can share a storage:
/// a tied `lm_head.weight` is saved as a second view.
fn check_size(tensors: &[Tensor], outer: &str, file_size: u64) -> Result<(), String> {
    let mut total = 0u64;
    for tensor in tensors.iter().filter(|tensor| !is_old_buffer(&tensor.name[outer.len()..])) {
        let bytes = tensor.byte_len() as u64;
        total = total.saturating_add(bytes);
        if bytes > file_size || total > file_size.saturating_mul(2) {
            let name = &tensor.name;
            return Err(format!(
                "tensor `{name}` would unpack to {bytes} bytes, more than the file's {file_size} allow"
            ));
        }
    }
    Ok(())
}
