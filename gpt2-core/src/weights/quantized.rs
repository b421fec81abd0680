//! How a quantized weight lies in a file: whole numbers under one name, scales under another.
//!
//! Names and packing are those of `compressed-tensors`: 8-bit numbers are `X.weight` (`I8`), 4-bit ones
//! `X.weight_packed` (`U8`), two of the depth to a byte, the first of them the lower half, each with 8 added; scales
//! are `X.weight_scale` (`BF16`). Axes are those of the float weight, with the depth halved or in groups.

use std::collections::HashMap;

use half::bf16;

use super::names;
use super::save::{QuantizedDType, TensorToWrite, TensorValues};
use crate::quantize::{DepthAxis, IntFormat, Quantization, QuantizedMatrix, Stored};
use crate::{Gpt2Config, Result};

/// One of the tensors that a file holds for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredTensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// The only type that will do; `None` is any float.
    pub element: Option<&'static str>,
}

/// The tensors of the configured model as a file holds them, in the order of [`super::names::parameters`].
pub(super) fn stored_parameters(config: &Gpt2Config) -> Vec<StoredTensor> {
    let mut list = Vec::new();
    for (name, shape) in names::parameters(config) {
        match StoredWeight::new(config.quantization_config, &name, &shape) {
            Some(weight) => list.extend(weight.tensors()),
            None => list.push(StoredTensor { name, shape, element: None }),
        }
    }
    list
}

/// The quantized weights of the configured model, by the names of the parameters.
pub(super) fn stored_weights(config: &Gpt2Config) -> HashMap<String, StoredWeight> {
    let weight = |(name, shape): (String, Vec<usize>)| {
        StoredWeight::new(config.quantization_config, &name, &shape).map(|weight| (name, weight))
    };
    names::parameters(config).into_iter().filter_map(weight).collect()
}

/// The tensors that a file is to hold for the quantized weight of a name.
pub(crate) fn tensors_to_write<'a>(
    name: &str,
    matrix: &'a QuantizedMatrix,
) -> [TensorToWrite<'a>; 2] {
    let (axis, format) = (matrix.axis(), matrix.format());
    let weight = StoredWeight { name: name.to_string(), shape: matrix.shape(), axis, format };
    let dtype = match format {
        IntFormat::Int8 => QuantizedDType::I8,
        IntFormat::Int4 => QuantizedDType::U8,
    };
    let mut part = 0;
    weight.tensors().map(|StoredTensor { name, shape, .. }| {
        let (weight, number) = (weight.clone(), part);
        part += 1;
        let dtype = if number == 0 { dtype } else { QuantizedDType::BF16 };
        let bytes = Box::new(move || weight.encode(matrix).swap_remove(number));
        TensorToWrite { name, shape, values: TensorValues::Quantized(dtype, bytes) }
    })
}

/// Where and how a quantized weight is stored.
#[derive(Debug, Clone)]
pub(super) struct StoredWeight {
    name: String,
    shape: [usize; 2],
    axis: DepthAxis,
    format: IntFormat,
}

impl StoredWeight {
    /// The weight of a name; `None` for a parameter that is stored as it is.
    pub fn new(quantization: Option<Quantization>, name: &str, shape: &[usize]) -> Option<Self> {
        let (format, axis) = (quantization?.format_of(name)?, names::depth_axis(name)?);
        let &[first, last] = shape else { return None };
        Some(Self { name: name.to_string(), shape: [first, last], axis, format })
    }

    /// Name of the whole numbers.
    pub fn whole_name(&self) -> String {
        match self.format {
            IntFormat::Int8 => self.name.clone(),
            IntFormat::Int4 => format!("{}_packed", self.name),
        }
    }

    /// Name of the scales.
    pub fn scale_name(&self) -> String {
        format!("{}_scale", self.name)
    }

    fn tensors(&self) -> [StoredTensor; 2] {
        let (per_element, element) = match self.format {
            IntFormat::Int8 => (1, "I8"),
            IntFormat::Int4 => (2, "U8"),
        };
        let tensor = |name, per_element, element| {
            let shape = self.with_depth_by(per_element).to_vec();
            StoredTensor { name, shape, element: Some(element) }
        };
        [
            tensor(self.whole_name(), per_element, element),
            tensor(self.scale_name(), self.format.group_size(), "BF16"),
        ]
    }

    /// The shape with so much of the depth in one element.
    fn with_depth_by(&self, per_element: usize) -> [usize; 2] {
        let [first, last] = self.shape;
        match self.axis {
            DepthAxis::First => [first.div_ceil(per_element), last],
            DepthAxis::Last => [first, last.div_ceil(per_element)],
        }
    }

    /// The weight of a file's bytes, and how many of its scales are NaN or infinite.
    pub fn decode(&self, whole: &[u8], scales: &[u8]) -> Result<(QuantizedMatrix, usize)> {
        let scales: Vec<bf16> =
            scales.as_chunks().0.iter().map(|&pair| bf16::from_le_bytes(pair)).collect();
        let wrong = scales.iter().filter(|scale| !scale.is_finite()).count();
        let whole = match self.format {
            IntFormat::Int8 => whole.iter().map(|&byte| byte as i8).collect(),
            IntFormat::Int4 => self.unpacked(whole),
        };
        let stored = Stored { whole, scales };
        let matrix = QuantizedMatrix::from_stored(&stored, self.shape, self.axis, self.format)?;
        Ok((matrix, wrong))
    }

    /// Whole numbers and scales as a file's bytes.
    pub fn encode(&self, matrix: &QuantizedMatrix) -> Vec<Vec<u8>> {
        let Stored { whole, scales } = matrix.to_stored();
        let whole = match self.format {
            IntFormat::Int8 => whole.into_iter().map(|number| number as u8).collect(),
            IntFormat::Int4 => self.packed(&whole),
        };
        vec![whole, scales.iter().flat_map(|scale| scale.to_le_bytes()).collect()]
    }

    fn unpacked(&self, bytes: &[u8]) -> Vec<i8> {
        let [first, last] = self.shape;
        let [_, stride] = self.with_depth_by(2);
        let mut whole = Vec::with_capacity(first * last);
        for row in 0..first {
            for column in 0..last {
                let (byte, odd) = match self.axis {
                    DepthAxis::First => (bytes[row / 2 * stride + column], row % 2),
                    DepthAxis::Last => (bytes[row * stride + column / 2], column % 2),
                };
                whole.push((byte >> (4 * odd) & 15) as i8 - 8);
            }
        }
        whole
    }

    fn packed(&self, whole: &[i8]) -> Vec<u8> {
        let [_, last] = self.shape;
        let [rows, stride] = self.with_depth_by(2);
        // What fills the last byte is a zero, which has 8 added like the others.
        let mut bytes = vec![0x88u8; rows * stride];
        for (at, &number) in whole.iter().enumerate() {
            let (row, column) = (at / last, at % last);
            let (byte, odd) = match self.axis {
                DepthAxis::First => (row / 2 * stride + column, row % 2),
                DepthAxis::Last => (row * stride + column / 2, column % 2),
            };
            bytes[byte] ^= ((number + 8) as u8 ^ 8) << (4 * odd);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for format in [IntFormat::Int8, IntFormat::Int4] {
            for axis in [DepthAxis::First, DepthAxis::Last] {
                let shape = [37, 71];
                let values: Vec<f32> =
                    (0..37 * 71).map(|i| ((i * 7919 % 1009) as f32 - 500.0) * 1e-3).collect();
                let matrix = QuantizedMatrix::from_values(&values, shape, axis, format).unwrap();
                let weight = StoredWeight { name: "w".to_string(), shape, axis, format };
                let [whole, scales] = weight.encode(&matrix).try_into().unwrap();
                let [first, second] = weight.tensors();
                assert_eq!(whole.len(), first.shape.iter().product::<usize>());
                assert_eq!(scales.len(), 2 * second.shape.iter().product::<usize>());
                let (again, wrong) = weight.decode(&whole, &scales).unwrap();
                assert_eq!(wrong, 0);
                assert_eq!(again.to_stored(), matrix.to_stored());
            }
        }
    }
}
