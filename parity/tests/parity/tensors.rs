//! Expected arrays.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// One expected array, in double precision.
#[derive(Debug, Clone)]
pub struct Array {
    /// Its key in the file.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f64>,
}

impl Array {
    /// The largest absolute value.
    pub fn scale(&self) -> f64 {
        self.values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
    }
}

/// A safetensors file of expected arrays.
pub struct Arrays {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Arrays {
    /// Reads the file.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_path_buf();
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { path, bytes }
    }

    fn table(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes)
            .unwrap_or_else(|e| panic!("{}: {e}", self.path.display()))
    }

    /// Every key, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table().names().into_iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// Whether there is such a key.
    pub fn has(&self, name: &str) -> bool {
        self.table().tensor(name).is_ok()
    }

    /// A float array.
    pub fn floats(&self, name: &str) -> Array {
        let (shape, values) = self.read(name);
        Array { name: name.to_string(), shape, values }
    }

    /// A scalar.
    pub fn scalar(&self, name: &str) -> f64 {
        self.floats(name).values[0]
    }

    /// The rows of an int64 matrix.
    pub fn rows(&self, name: &str) -> Vec<Vec<i64>> {
        let (shape, values) = self.read(name);
        assert_eq!(shape.len(), 2, "{name}");
        let integers: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
        integers.chunks_exact(shape[1]).map(<[i64]>::to_vec).collect()
    }

    /// The rows of a matrix of token ids.
    pub fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let id = |value: i64| u32::try_from(value).expect("a token id");
        self.rows(name).into_iter().map(|row| row.into_iter().map(id).collect()).collect()
    }

    fn read(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let table = self.table();
        let view =
            table.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.path.display()));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => convert(data, |raw| f64::from(f32::from_le_bytes(raw))),
            Dtype::F64 => convert(data, f64::from_le_bytes),
            // Ids and positions, far below 2^53.
            Dtype::I64 => convert(data, |raw| i64::from_le_bytes(raw) as f64),
            other => panic!("{}: {name} has element type {other:?}", self.path.display()),
        };
        (view.shape().to_vec(), values)
    }
}

fn convert<const N: usize>(data: &[u8], one: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>().0.iter().map(|raw| one(*raw)).collect()
}
