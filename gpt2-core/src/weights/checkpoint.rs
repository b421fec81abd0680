//! [`Checkpoint`]: the table of contents of a weight file, whatever its format.

use std::path::{Path, PathBuf};

use super::element::Element;
use super::hdf5::Hdf5Weights;
use super::pytorch::PyTorchFile;
use super::safetensors::SafetensorsFile;
use super::sharded::Index;
use crate::error::TensorProblem;
use crate::{Error, Result};

/// Weight files of a folder, in the order of preference, which is that of `transformers`.
pub(super) const CANDIDATES: [(&str, WeightFormat); 5] = [
    ("model.safetensors", WeightFormat::Safetensors),
    ("model.safetensors.index.json", WeightFormat::Safetensors),
    ("pytorch_model.bin", WeightFormat::PyTorch),
    ("pytorch_model.bin.index.json", WeightFormat::PyTorch),
    ("tf_model.h5", WeightFormat::TensorFlow),
];

/// Which family of files a checkpoint comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFormat {
    /// `model.safetensors`.
    Safetensors,
    /// `pytorch_model.bin`: a pickle with storages beside it.
    PyTorch,
    /// `tf_model.h5`: HDF5 as Keras saves weights.
    TensorFlow,
}

impl WeightFormat {
    /// `safetensors`, `pytorch` or `tensorflow`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PyTorch => "pytorch",
            Self::TensorFlow => "tensorflow",
        }
    }
}

/// Name, shape and element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorEntry<'a> {
    /// Name as found in the file; for TensorFlow, the name that PyTorch gives to the same tensor.
    pub name: &'a str,
    /// Extents, outermost first.
    pub shape: &'a [usize],
    /// Element type under safetensors' name: `F32`, `F16`, `BF16`, `F64`, `U8` ...
    pub dtype: &'a str,
}

/// One tensor of the table of contents.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub name: String,
    pub shape: Vec<usize>,
    pub element: Element,
}

impl Entry {
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One open file, able to read its tensors by number.
enum Source {
    Safetensors(SafetensorsFile),
    PyTorch(PyTorchFile),
    Hdf5(Hdf5Weights),
}

impl Source {
    fn open(path: &Path, format: WeightFormat) -> Result<(Self, Vec<Entry>)> {
        // Opening a pipe or a device would wait or never end.
        let metadata = path.metadata().map_err(Error::io("open", path))?;
        if !metadata.is_file() {
            return Err(Error::format(path, format.name(), "this is not a regular file"));
        }
        Ok(match format {
            WeightFormat::Safetensors => {
                let (file, entries) = SafetensorsFile::open(path)?;
                (Self::Safetensors(file), entries)
            }
            WeightFormat::PyTorch => {
                let (file, entries) = PyTorchFile::open(path)?;
                (Self::PyTorch(file), entries)
            }
            WeightFormat::TensorFlow => {
                let (file, entries) = Hdf5Weights::open(path)?;
                (Self::Hdf5(file), entries)
            }
        })
    }

    fn read(&self, index: usize, entry: &Entry) -> Result<Vec<f32>> {
        match self {
            Self::Safetensors(file) => file.read(index, entry),
            Self::PyTorch(file) => file.read(index, entry),
            Self::Hdf5(file) => file.read(index, entry),
        }
    }
}

/// An opened checkpoint: its files and the tensors that they say they hold.
///
/// Opening reads headers only. [`audit`](Self::audit) is the way to the numbers.
pub struct Checkpoint {
    path: PathBuf,
    format: WeightFormat,
    files: Vec<PathBuf>,
    sources: Vec<Source>,
    pub(super) entries: Vec<Entry>,
    /// For each entry its source and its number there.
    places: Vec<(usize, usize)>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("tensors", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Opens the weights of a model folder: `model.safetensors`, its index of shards,
    /// `pytorch_model.bin`, its index, or `tf_model.h5`, whichever comes first in this order.
    ///
    /// # Errors
    /// [`Error::MissingFile`] when there is none of these; otherwise as [`open_file`].
    ///
    /// [`open_file`]: Self::open_file
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        for (name, _) in CANDIDATES {
            let path = folder.join(name);
            // A link that leads nowhere is reported as such rather than passed over.
            if path.symlink_metadata().is_ok() {
                return Self::open_file(path);
            }
        }
        let expected = CANDIDATES.map(|(name, _)| name).join(", ");
        Err(Error::MissingFile { folder: folder.to_path_buf(), expected })
    }

    /// Opens one weight file or index; its name's ending tells the format: `.safetensors`,
    /// `.bin`, `.pt`, `.pth`, `.h5` or `.index.json`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a file that does not follow its format, including an
    /// index that does not match its shards; [`Error::Json`] for an index that is not JSON.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (stem, is_index) = match name.strip_suffix(".index.json") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let format = match stem.rsplit_once('.').map(|(_, ending)| ending) {
            Some("safetensors") => WeightFormat::Safetensors,
            Some("bin" | "pt" | "pth") => WeightFormat::PyTorch,
            Some("h5") if !is_index => WeightFormat::TensorFlow,
            _ => {
                let reason = "expected a name that ends in .safetensors, .bin, .h5 or .index.json";
                return Err(Error::format(path, "weight file", reason));
            }
        };
        if is_index { Self::open_index(path, format) } else { Self::open_single(path, format) }
    }

    fn open_single(path: &Path, format: WeightFormat) -> Result<Self> {
        let (source, entries) = Source::open(path, format)?;
        let places = (0..entries.len()).map(|number| (0, number)).collect();
        let path = path.to_path_buf();
        Ok(Self { files: vec![path.clone()], path, format, sources: vec![source], entries, places })
    }

    fn open_index(path: &Path, format: WeightFormat) -> Result<Self> {
        let index = Index::open(path)?;
        let mut shards = Vec::new();
        for (file, _) in &index.shards {
            shards.push(Source::open(file, format)?);
        }
        let held: Vec<Vec<&str>> =
            shards.iter().map(|(_, held)| held.iter().map(|e| e.name.as_str()).collect()).collect();
        index.check(&held)?;
        let files = index.shards.into_iter().map(|(file, _)| file).collect();
        let (mut sources, mut entries, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (source, held)) in shards.into_iter().enumerate() {
            places.extend((0..held.len()).map(|place| (number, place)));
            entries.extend(held);
            sources.push(source);
        }
        Ok(Self { path: path.to_path_buf(), format, files, sources, entries, places })
    }

    /// Which family of files this is.
    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Stored float type of the first parameter: `F32`, `F16`, `BF16` or `F64`.
    ///
    /// Buffers such as the causal mask of old checkpoints do not count; a file without a single
    /// float tensor says `F32`.
    #[must_use]
    pub fn dtype(&self) -> &str {
        let parameter =
            |entry: &&Entry| entry.element.is_float() && !super::audit::is_old_buffer(&entry.name);
        self.entries.iter().find(parameter).map_or("F32", |entry| entry.element.name())
    }

    /// The file that was opened, or the index of a sharded checkpoint.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the tensors: one, or the shards.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Every tensor that the files say they hold, buffers included.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = TensorEntry<'_>> {
        self.entries.iter().map(|entry| TensorEntry {
            name: &entry.name,
            shape: &entry.shape,
            dtype: entry.element.name(),
        })
    }

    /// The values of a tensor that is no parameter of a model, such as a moment of an optimizer:
    /// row-major, or `None` where there is none of this name.
    ///
    /// # Errors
    /// [`Error::Weights`] for another shape, another kind of element or values that are not finite;
    /// [`Error::Io`].
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let Some(number) = self.entries.iter().position(|entry| entry.name == name) else {
            return Ok(None);
        };
        let (entry, name) = (&self.entries[number], name.to_string());
        if entry.shape != shape {
            let (found, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(self.fault(TensorProblem::Shape { name, found, expected }));
        }
        if !entry.element.is_float() {
            let found = entry.element.name().to_string();
            return Err(self.fault(TensorProblem::DType { name, found }));
        }
        let values = self.read_entry(number)?;
        match values.iter().filter(|value| !value.is_finite()).count() {
            0 => Ok(Some(values)),
            count => Err(self.fault(TensorProblem::NonFinite { name, count })),
        }
    }

    /// Reads the bytes of one entry, which the audit has found to have whole bytes for elements.
    pub(super) fn read_bytes(&self, number: usize) -> Result<Vec<u8>> {
        let (source, place) = self.places[number];
        match &self.sources[source] {
            Source::Safetensors(file) => file.read_bytes(place, &self.entries[number]),
            Source::PyTorch(_) | Source::Hdf5(_) => {
                let reason = "quantized weights are read from safetensors only";
                Err(Error::format(&self.path, self.format.name(), reason))
            }
        }
    }

    fn fault(&self, problem: TensorProblem) -> Error {
        Error::Weights { path: self.path.clone(), problems: vec![problem] }
    }

    /// Reads one entry; the audit has found it to be a float tensor of a known shape.
    pub(super) fn read_entry(&self, number: usize) -> Result<Vec<f32>> {
        let (source, place) = self.places[number];
        self.sources[source].read(place, &self.entries[number])
    }
}
