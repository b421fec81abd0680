//! Writing weights as safetensors, with the names and the layout of `transformers`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;

use super::names;
use crate::folder::{write_file, write_file_with};
use crate::{Error, Result};

/// Values converted at a time when the file holds another type than `f32`.
const BLOCK: usize = 1 << 16;

/// The float type of a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoredDType {
    /// Single precision: what was read is what is written.
    #[default]
    F32,
    /// IEEE half precision, rounded to nearest even; the largest value is 65504.
    F16,
    /// The upper half of single precision, rounded to nearest even.
    BF16,
}

impl StoredDType {
    /// `F32`, `F16` or `BF16`, as in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
        }
    }
}

/// A parameter on its way to a file. Its values are asked for when their turn comes and dropped
/// after that, so a model is never held twice.
pub struct TensorToWrite<'a> {
    /// Canonical name, without `transformer.`.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The values.
    pub values: TensorValues<'a>,
}

/// Gives values, row-major and as many as the shape says.
pub enum TensorValues<'a> {
    /// Floats, which are written in the type of the file.
    Float(Box<dyn Fn() -> Result<Vec<f32>> + Sync + 'a>),
    /// A part of a quantized weight, which has a type of its own: its bytes in the file.
    Quantized(QuantizedDType, Box<dyn Fn() -> Vec<u8> + Sync + 'a>),
}

/// The element type of a part of a quantized weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantizedDType {
    /// Whole numbers of 8 bits.
    I8,
    /// Two whole numbers of 4 bits in a byte.
    U8,
    /// Scales.
    BF16,
}

impl TensorValues<'_> {
    /// Element type in a file of floats of this type.
    fn dtype(&self, dtype: StoredDType) -> Dtype {
        match self {
            Self::Float(_) => dtype.dtype(),
            Self::Quantized(QuantizedDType::I8, _) => Dtype::I8,
            Self::Quantized(QuantizedDType::U8, _) => Dtype::U8,
            Self::Quantized(QuantizedDType::BF16, _) => Dtype::BF16,
        }
    }

    /// Bytes of an element.
    fn size(&self, dtype: StoredDType) -> usize {
        self.dtype(dtype).bitsize() / 8
    }
}

impl std::fmt::Debug for TensorToWrite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorToWrite")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// Writes one safetensors file, whole or not at all.
///
/// Names are [`names::published`] ones, tensors lie in the order of their names, and
/// `__metadata__` says `{"format": "pt"}`, without which `transformers` refuses the file.
///
/// # Errors
/// [`Error::Io`]; what `read` says; [`Error::Argument`] when two tensors have one name, when values and shape
/// disagree, or when a finite value would become infinite in `dtype`.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[TensorToWrite<'_>],
    dtype: StoredDType,
) -> Result<()> {
    write_file_of(path.as_ref(), &tensors.iter().collect::<Vec<_>>(), dtype)
}

/// As [`write_safetensors`], with the names as they stand: for tensors that are no parameters of a
/// model, such as the moments of an optimizer.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_tensors(
    path: impl AsRef<Path>,
    tensors: &[TensorToWrite<'_>],
    dtype: StoredDType,
) -> Result<()> {
    let named = tensors.iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    write_named(path.as_ref(), named, dtype)
}

/// Writes the weights of a model folder and returns the paths of the files: `model.safetensors`,
/// or, when they would exceed `max_shard_size` bytes, shards with `model.safetensors.index.json`.
///
/// Tensors are distributed in the given order, as `transformers` does: a shard is closed when the
/// next tensor would make it too large, and a tensor larger than a shard gets one of its own.
///
/// The folder should be a fresh one (see [`write_folder`](crate::folder::write_folder)): a weight
/// file of an earlier model that stays beside a new index would be preferred by readers.
///
/// # Errors
/// As [`write_safetensors`]; [`Error::Argument`] for a shard size of 0.
pub fn write_weights(
    folder: impl AsRef<Path>,
    tensors: &[TensorToWrite<'_>],
    dtype: StoredDType,
    max_shard_size: Option<u64>,
) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    if max_shard_size == Some(0) {
        return Err(Error::argument("max_shard_size", 0, "at least one byte"));
    }
    let mut shards = distribute(tensors, dtype, max_shard_size.unwrap_or(u64::MAX))?;
    if shards.len() <= 1 {
        let path = folder.join("model.safetensors");
        write_file_of(&path, &shards.pop().unwrap_or_default(), dtype)?;
        return Ok(vec![path]);
    }
    let mut files = Vec::new();
    let mut places = BTreeMap::new();
    for (number, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        for tensor in shard {
            if places.insert(names::published(&tensor.name), name.clone()).is_some() {
                return Err(twice(&tensor.name));
            }
        }
        files.push(folder.join(&name));
        write_file_of(&folder.join(name), shard, dtype)?;
    }
    let path = folder.join("model.safetensors.index.json");
    write_file(&path, index(tensors, dtype, &places)?.as_bytes())?;
    files.push(path);
    Ok(files)
}

/// The tensors of each shard.
fn distribute<'t, 'a>(
    tensors: &'t [TensorToWrite<'a>],
    dtype: StoredDType,
    most: u64,
) -> Result<Vec<Vec<&'t TensorToWrite<'a>>>> {
    let mut shards = Vec::new();
    let (mut current, mut size) = (Vec::new(), 0u64);
    for tensor in tensors {
        let bytes = byte_size(tensor, dtype)? as u64;
        if bytes > most {
            shards.push(vec![tensor]);
            continue;
        }
        if size.saturating_add(bytes) > most {
            shards.push(std::mem::take(&mut current));
            size = 0;
        }
        current.push(tensor);
        size += bytes;
    }
    if !current.is_empty() {
        shards.push(current);
    }
    Ok(shards)
}

/// The text of the index, byte for byte as Python's `json.dumps(.., indent=2)` has it.
fn index(
    tensors: &[TensorToWrite<'_>],
    dtype: StoredDType,
    places: &BTreeMap<String, String>,
) -> Result<String> {
    let (mut elements, mut size) = (0, 0);
    for tensor in tensors {
        let bytes = byte_size(tensor, dtype)?;
        (elements, size) = (elements + bytes / tensor.values.size(dtype), size + bytes);
    }
    let index = json!({
        "metadata": { "total_parameters": elements, "total_size": size },
        "weight_map": places,
    });
    Ok(format!("{index:#}\n"))
}

fn byte_size(tensor: &TensorToWrite<'_>, dtype: StoredDType) -> Result<usize> {
    tensor
        .shape
        .iter()
        .try_fold(tensor.values.size(dtype), |product, &extent| product.checked_mul(extent))
        .ok_or_else(|| {
            let (name, shape) = (&tensor.name, &tensor.shape);
            Error::argument("tensors", format!("`{name}` with {shape:?}"), "a shape that fits")
        })
}

fn twice(name: &str) -> Error {
    Error::argument("tensors", format!("`{name}` twice"), "every name once")
}

fn write_file_of(path: &Path, tensors: &[&TensorToWrite<'_>], dtype: StoredDType) -> Result<()> {
    let named = tensors.iter().map(|tensor| (names::published(&tensor.name), *tensor)).collect();
    write_named(path, named, dtype)
}

fn write_named(
    path: &Path,
    mut ordered: Vec<(String, &TensorToWrite<'_>)>,
    dtype: StoredDType,
) -> Result<()> {
    ordered.sort_by(|a, b| a.0.cmp(&b.0));
    let header = header(path, &ordered, dtype)?;
    write_file_with(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let io = || Error::io("write", path);
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io())?;
        out.write_all(&header).map_err(io())?;
        for (_, tensor) in &ordered {
            write_values(path, &mut out, tensor, dtype)?;
        }
        out.flush().map_err(io())
    })
}

/// The JSON header, padded with blanks so that the data begins at a multiple of eight.
fn header(
    path: &Path,
    tensors: &[(String, &TensorToWrite<'_>)],
    dtype: StoredDType,
) -> Result<Vec<u8>> {
    let mut list: Vec<(String, TensorInfo)> = Vec::with_capacity(tensors.len());
    let mut start = 0usize;
    for (name, tensor) in tensors {
        if list.last().is_some_and(|(last, _)| last == name) {
            return Err(twice(&tensor.name));
        }
        let end = start.checked_add(byte_size(tensor, dtype)?).ok_or_else(|| {
            Error::argument("tensors", "more than memory can address", "a model that fits")
        })?;
        let info = TensorInfo {
            dtype: tensor.values.dtype(dtype),
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        list.push((name.clone(), info));
        start = end;
    }
    let remark = HashMap::from([("format".to_string(), "pt".to_string())]);
    let metadata = Metadata::new(Some(remark), list)
        .map_err(|error| Error::format(path, "safetensors", error))?;
    let mut text = serde_json::to_vec(&metadata)
        .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

/// Writes the values of one tensor, and holds no other meanwhile.
fn write_values(
    path: &Path,
    out: &mut BufWriter<&mut File>,
    tensor: &TensorToWrite<'_>,
    dtype: StoredDType,
) -> Result<()> {
    let size = tensor.values.size(dtype);
    let expected = byte_size(tensor, dtype)? / size;
    let check = |found: usize| match found == expected {
        true => Ok(()),
        false => {
            let found = format!("`{}` with {found} values", tensor.name);
            Err(Error::argument("tensors", found, format!("{expected} values")))
        }
    };
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("write", path));
    let values = match &tensor.values {
        TensorValues::Float(read) => read()?,
        TensorValues::Quantized(_, bytes) => {
            let bytes = bytes();
            check(bytes.len() / size)?;
            return write(&bytes);
        }
    };
    check(values.len())?;
    if dtype == StoredDType::F32 && cfg!(target_endian = "little") {
        return write(bytemuck::cast_slice(&values));
    }
    let mut bytes = Vec::with_capacity(BLOCK.min(expected) * dtype.size());
    for block in values.chunks(BLOCK) {
        bytes.clear();
        if let Some(lost) = encode(block, dtype, &mut bytes) {
            let found = format!("{} for {lost:e} in `{}`", dtype.name(), tensor.name);
            return Err(Error::argument("dtype", found, "a type with a larger range"));
        }
        write(&bytes)?;
    }
    Ok(())
}

/// Appends the values in the stored type; returns a finite value that would become infinite.
fn encode(values: &[f32], dtype: StoredDType, bytes: &mut Vec<u8>) -> Option<f32> {
    let overflow = |infinite: &mut dyn Iterator<Item = bool>| {
        values.iter().zip(infinite).find(|(v, inf)| *inf && v.is_finite()).map(|(v, _)| *v)
    };
    match dtype {
        StoredDType::F32 => {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            None
        }
        StoredDType::F16 => {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
            overflow(&mut halves.iter().map(|half| half.is_infinite()))
        }
        StoredDType::BF16 => {
            let mut halves = vec![bf16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
            overflow(&mut halves.iter().map(|half| half.is_infinite()))
        }
    }
}
