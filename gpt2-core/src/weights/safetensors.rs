//! The safetensors format: eight bytes of header length, a JSON header, then the data.
//!
//! Hostile headers are expected. The header is bounded before it is allocated, and tensors have to
//! follow each other without hole, overlap or remainder, so no tensor asks for more memory than
//! the file has bytes.

use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::checkpoint::Entry;
use super::element::Element;
use crate::{Error, Result};

/// Name of the format in messages.
const FORMAT: &str = "safetensors";

/// The largest header that the format allows; that of GPT-2 XL has 60 kB.
const MAX_HEADER: u64 = 100_000_000;

/// Elements that are read, and where they are stored in another type converted, at a time.
const BLOCK: usize = 1 << 16;

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
    /// Where the data begins.
    data_start: u64,
    /// First byte of each tensor, from `data_start`, in the order of the entries.
    offsets: Vec<u64>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>)> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("read", path))?.len();
        let header = read_header(path, &file, size)?;
        let data_start = 8 + header.len() as u64;
        let mut tensors = parse_header(&header).map_err(|e| Error::format(path, FORMAT, e))?;
        drop(header);
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        check_layout(&tensors, size - data_start)
            .map_err(|reason| Error::format(path, FORMAT, reason))?;
        let offsets = tensors.iter().map(|(_, info)| info.data_offsets.0 as u64).collect();
        let entries = tensors
            .into_iter()
            .map(|(name, info)| Entry { name, shape: info.shape, element: element(info.dtype) })
            .collect();
        let opened = Self {
            path: path.to_path_buf(),
            #[cfg(unix)]
            file,
            data_start,
            offsets,
        };
        Ok((opened, entries))
    }

    /// Reads tensor number `index` straight into the vector that is handed out, on all cores: memory
    /// that is touched for the first time costs as much as the copy.
    pub fn read(&self, index: usize, entry: &Entry) -> Result<Vec<f32>> {
        let start = self.data_start + self.offsets[index];
        let (element, size) = (&entry.element, entry.element.size());
        let mut values = vec![0f32; entry.elements()];
        let blocks = values.par_chunks_mut(BLOCK).enumerate();
        blocks.try_for_each_init(Vec::new, |buffer, (number, block)| {
            let position = start + (number * BLOCK * size) as u64;
            if *element == Element::F32 && cfg!(target_endian = "little") {
                return self.read_at(position, bytemuck::cast_slice_mut(block));
            }
            buffer.resize(block.len() * size, 0);
            self.read_at(position, buffer)?;
            element.convert_le(buffer, block);
            Ok(())
        })?;
        Ok(values)
    }

    /// The bytes of tensor number `index`, as they lie in the file.
    pub fn read_bytes(&self, index: usize, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; entry.elements() * entry.element.size()];
        self.read_at(self.data_start + self.offsets[index], &mut bytes)?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(bytes, position).map_err(Error::io("read", &self.path))
    }

    /// Without positional reads a shared cursor could be moved by another thread.
    #[cfg(not(unix))]
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        File::open(&self.path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(position))?;
                file.read_exact(bytes)
            })
            .map_err(Error::io("read", &self.path))
    }
}

fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F64 => Element::F64,
        Dtype::I8 => Element::I8,
        Dtype::U8 => Element::U8,
        other => Element::Other(format!("{other:?}")),
    }
}

/// Reads the header's bytes, which a file cannot make larger than itself.
fn read_header(path: &Path, mut file: &File, size: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let malformed = |reason: String| Error::format(path, FORMAT, reason);
    if size < 8 {
        return Err(malformed(format!("the file has {size} bytes, expected at least 8")));
    }
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).map_err(Error::io("read", path))?;
    let length = u64::from_le_bytes(prefix);
    if length > MAX_HEADER {
        let reason = format!("the header claims {length} bytes, expected at most {MAX_HEADER}");
        return Err(malformed(reason));
    }
    if length > size - 8 {
        let reason = format!("the header claims {length} bytes, but {} follow", size - 8);
        return Err(malformed(reason));
    }
    let mut header = vec![0u8; length as usize];
    file.read_exact(&mut header).map_err(Error::io("read", path))?;
    Ok(header)
}

fn parse_header(header: &[u8]) -> Result<Vec<(String, TensorInfo)>, String> {
    if header.first() != Some(&b'{') {
        return Err("the header does not begin with `{`".to_string());
    }
    serde_json::from_slice::<Pairs<TensorInfo>>(header)
        .map(|pairs| pairs.0)
        .map_err(|error| format!("the header cannot be used: {error}"))
}

/// Every byte of the data belongs to one tensor, and every tensor has the bytes of its shape.
fn check_layout(tensors: &[(String, TensorInfo)], data_size: u64) -> Result<(), String> {
    let mut end = 0usize;
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        if to < from {
            return Err(format!("tensor `{name}` ends at byte {to}, before its start {from}"));
        }
        if from != end {
            let what = if from < end { "overlaps the one before it" } else { "leaves a hole" };
            return Err(format!("tensor `{name}` {what}: it starts at {from}, expected {end}"));
        }
        let bytes = byte_size(info).ok_or_else(|| {
            format!("tensor `{name}` has shape {:?}, which no file can hold", info.shape)
        })?;
        if to - from != bytes {
            let (found, shape, dtype) = (to - from, &info.shape, info.dtype);
            return Err(format!(
                "tensor `{name}` has {found} bytes, expected {bytes} for {shape:?} of {dtype:?}"
            ));
        }
        end = to;
    }
    if end as u64 != data_size {
        return Err(format!("the tensors take {end} bytes, but {data_size} follow the header"));
    }
    Ok(())
}

/// Bytes of a tensor; `None` when they overflow or do not fill whole bytes.
fn byte_size(info: &TensorInfo) -> Option<usize> {
    let elements = info.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    let bits = elements.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// A JSON object in its own order, refused when a key occurs twice.
///
/// The usual maps keep the last of two equal keys, which lets one file mean different things to
/// different readers. `__metadata__`, where safetensors keeps remarks, is skipped.
pub(super) struct Pairs<V>(pub Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map
                .next_value()
                .map_err(|error| A::Error::custom(format_args!("`{key}`: {error}")))?;
            pairs.push((key, value));
        }
        let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|two| two[0] == two[1]) {
            return Err(A::Error::custom(format_args!("`{}` occurs twice", twice[0])));
        }
        Ok(Pairs(pairs))
    }
}
