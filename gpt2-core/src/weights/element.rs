//! How numbers lie in a weight file, and their way to `f32`.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements converted at a time where a copy is needed.
const BLOCK: usize = 1 << 10;

/// Element type of a stored tensor, as far as a loader has to tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    BF16,
    F64,
    /// Whole numbers of a quantized weight.
    I8,
    /// Bytes, of which each holds two whole numbers of a quantized weight.
    U8,
    /// Anything that cannot be a weight, under the name that the file's format gives it.
    Other(String),
}

impl Element {
    /// The name that safetensors would use.
    pub fn name(&self) -> &str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F64 => "F64",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Other(name) => name,
        }
    }

    /// Bytes of one element; 0 for a type that is never read.
    pub fn size(&self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I8 | Self::U8 => 1,
            Self::Other(_) => 0,
        }
    }

    pub fn is_float(&self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F64)
    }

    /// Converts little-endian bytes; both slices hold the same number of elements.
    ///
    /// An `f64` beyond the range of `f32` becomes infinite and is reported as such later.
    pub fn convert_le(&self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => {
                for (value, chunk) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*chunk);
                }
            }
            Self::F64 => {
                for (value, chunk) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *value = f64::from_le_bytes(*chunk) as f32;
                }
            }
            Self::F16 => {
                // In blocks, because the conversion is fast on slices and needs them aligned.
                let mut halves = [f16::ZERO; BLOCK];
                for (block, bytes) in out.chunks_mut(BLOCK).zip(bytes.chunks(2 * BLOCK)) {
                    let halves = &mut halves[..block.len()];
                    for (half, pair) in halves.iter_mut().zip(pairs(bytes)) {
                        *half = f16::from_le_bytes(pair);
                    }
                    halves.convert_to_f32_slice(block);
                }
            }
            Self::BF16 => {
                for (value, pair) in out.iter_mut().zip(pairs(bytes)) {
                    *value = bf16::from_le_bytes(pair).to_f32();
                }
            }
            Self::I8 | Self::U8 | Self::Other(_) => {}
        }
    }

    /// Converts the bytes of `elements` numbers that lie as this machine wants them.
    pub fn convert_native(&self, mut bytes: Vec<u8>, elements: usize) -> Vec<f32> {
        if cfg!(target_endian = "big") {
            bytes.chunks_exact_mut(self.size().max(1)).for_each(<[u8]>::reverse);
        }
        let mut values = vec![0f32; elements];
        self.convert_le(&bytes, &mut values);
        values
    }
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> {
    bytes.as_chunks::<2>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_converts_exactly() {
        let values = [0.0f32, -1.5, 0.25, 96.0];
        let convert = |element: Element, bytes: Vec<u8>| {
            assert_eq!(bytes.len(), element.size() * values.len());
            let mut out = vec![f32::NAN; values.len()];
            element.convert_le(&bytes, &mut out);
            assert_eq!(out, values, "{}", element.name());
        };
        convert(Element::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect());
        convert(Element::F64, values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect());
        convert(
            Element::F16,
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        );
        convert(
            Element::BF16,
            values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        );
    }
}
