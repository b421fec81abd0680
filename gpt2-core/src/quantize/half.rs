//! [`HalfMatrix`]: a weight in bf16, as the kernels read it.

use std::sync::Arc;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::DepthAxis;
use super::order::{Order, check_count};
use super::packed::PANEL;
use crate::Result;

/// A weight in bf16, the upper half of f32: half the bytes to read from memory, and arithmetic in f32. A clone shares
/// the numbers.
#[derive(Debug, Clone)]
pub struct HalfMatrix(Arc<Content>);

struct Content {
    order: Order,
    /// `[panel][depth][column]`.
    values: Vec<bf16>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("shape", &self.order.shape()).finish_non_exhaustive()
    }
}

impl HalfMatrix {
    /// Rounds a weight, given row by row, to nearest even.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there are more or fewer values than the shape says, or none.
    pub fn from_values(values: &[f32], shape: [usize; 2], axis: DepthAxis) -> Result<Self> {
        check_count("values", values.len(), shape)?;
        let order = Order::new(shape, axis);
        let mut packed = vec![bf16::ZERO; order.columns.div_ceil(PANEL) * order.depth * PANEL];
        packed.par_chunks_mut(order.depth * PANEL).enumerate().for_each(|(panel, packed)| {
            let mut row = [0.0; PANEL];
            for (depth, packed) in packed.chunks_exact_mut(PANEL).enumerate() {
                let columns = panel * PANEL..order.columns.min((panel + 1) * PANEL);
                for (value, column) in row.iter_mut().zip(columns) {
                    *value = values[order.at(depth, column)];
                }
                packed.convert_from_f32_slice(&row);
            }
        });
        Ok(Self(Arc::new(Content { order, values: packed })))
    }

    /// Extents of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.0.order.shape()
    }

    /// The weight as f32, row by row.
    #[must_use]
    pub fn to_values(&self) -> Vec<f32> {
        let order = self.0.order;
        let mut values = vec![0.0; order.depth * order.columns];
        for column in 0..order.columns {
            for (depth, value) in self.column(column).enumerate() {
                values[order.at(depth, column)] = value;
            }
        }
        values
    }

    /// One column of the product, which of a table is a row.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = f32> + '_ {
        let panel = self.panel(column / PANEL).iter();
        panel.skip(column % PANEL).step_by(PANEL).map(|value| value.to_f32())
    }

    /// The depth and the number of columns.
    pub(crate) fn extents(&self) -> [usize; 2] {
        [self.0.order.depth, self.0.order.columns]
    }

    /// The number at a place of the depth in a column.
    #[cfg(feature = "cube")]
    pub(crate) fn at(&self, depth: usize, column: usize) -> bf16 {
        self.panel(column / PANEL)[depth * PANEL + column % PANEL]
    }

    /// `[depth][column]` of some columns.
    pub(crate) fn panel(&self, panel: usize) -> &[bf16] {
        let size = self.0.order.depth * PANEL;
        &self.0.values[panel * size..][..size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_keeps_its_place() {
        for axis in [DepthAxis::First, DepthAxis::Last] {
            let values: Vec<f32> = (0..5 * 71).map(|i| (i as f32 - 100.0) * 0.25).collect();
            let matrix = HalfMatrix::from_values(&values, [5, 71], axis).unwrap();
            let rounded: Vec<f32> = values.iter().map(|&v| bf16::from_f32(v).to_f32()).collect();
            assert_eq!(matrix.to_values(), rounded);
        }
    }
}
