//! [`CompactMatrix`]: a weight in fewer bits than an `f32` has.

use super::{DepthAxis, HalfMatrix, IntFormat, QuantizedMatrix};
use crate::Result;

/// A weight in fewer bits, as the kernels read it.
#[derive(Debug, Clone)]
pub enum CompactMatrix {
    /// Whole numbers with scales.
    Quantized(QuantizedMatrix),
    /// bf16.
    Half(HalfMatrix),
}

/// Which fewer bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactFormat {
    /// Whole numbers.
    Int(IntFormat),
    /// bf16.
    Bf16,
}

impl CompactFormat {
    /// A weight, given row by row, in this format.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there are more or fewer values than the shape says, or none.
    pub fn apply(
        self,
        values: &[f32],
        shape: [usize; 2],
        axis: DepthAxis,
    ) -> Result<CompactMatrix> {
        match self {
            Self::Int(format) => QuantizedMatrix::from_values(values, shape, axis, format)
                .map(CompactMatrix::Quantized),
            Self::Bf16 => HalfMatrix::from_values(values, shape, axis).map(CompactMatrix::Half),
        }
    }
}

impl CompactMatrix {
    /// Extents of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Quantized(matrix) => matrix.shape(),
            Self::Half(matrix) => matrix.shape(),
        }
    }

    /// The weight that the numbers stand for, row by row.
    #[must_use]
    pub fn to_values(&self) -> Vec<f32> {
        match self {
            Self::Quantized(matrix) => matrix.to_values(),
            Self::Half(matrix) => matrix.to_values(),
        }
    }

    /// Columns of the product.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Quantized(matrix) => matrix.packed().shape.columns,
            Self::Half(matrix) => matrix.extents()[1],
        }
    }

    /// Appends one column of the product, which of a table is a row.
    pub(crate) fn extend_with_column(&self, values: &mut Vec<f32>, column: usize) {
        match self {
            Self::Quantized(matrix) => values.extend(matrix.column(column)),
            Self::Half(matrix) => values.extend(matrix.column(column)),
        }
    }
}
