//! [`QuantizedMatrix`]: whole numbers with scales.

use std::fmt;
use std::sync::Arc;

use half::bf16;
use rayon::prelude::*;

use super::order::{Order, check_count};
use super::packed::{PANEL, Packed, Shape};
use super::scheme::LARGEST_GROUP;
use super::{IntFormat, round};
use crate::Result;

/// The axis of a weight that a product sums over. Groups lie along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepthAxis {
    /// `[in, out]`, as `Conv1D` stores it.
    First,
    /// `[rows, embd]`: a table, which as the head is multiplied row by row.
    Last,
}

/// A weight as whole numbers, with a scale for each group along the axis that products sum over.
///
/// Source: symmetric group-wise rounding to nearest, as in GPTQ's baseline (Frantar et al. 2023). A clone shares
/// the numbers.
///
/// # Example
/// ```
/// use gpt2_core::quantize::{DepthAxis, IntFormat, QuantizedMatrix};
///
/// let values: Vec<f32> = (0..12).map(|i| i as f32 * 0.1).collect();
/// let matrix = QuantizedMatrix::from_values(&values, [3, 4], DepthAxis::First, IntFormat::Int8)?;
/// assert_eq!(matrix.shape(), [3, 4]);
/// assert!(matrix.to_values().iter().zip(values).all(|(a, b)| (a - b).abs() < 0.01));
/// # Ok::<(), gpt2_core::Error>(())
/// ```
#[derive(Clone)]
pub struct QuantizedMatrix(Arc<Content>);

struct Content {
    order: Order,
    shape: Shape,
    values: Vec<u8>,
    scales: Vec<bf16>,
}

/// The numbers of a matrix in the order of its own axes, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// Whole numbers, `[rows, columns]` of the weight.
    pub whole: Vec<i8>,
    /// The same with the depth in groups.
    pub scales: Vec<bf16>,
}

impl QuantizedMatrix {
    /// Quantizes a weight, given row by row.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there are more or fewer values than the shape says, or none.
    pub fn from_values(
        values: &[f32],
        shape: [usize; 2],
        axis: DepthAxis,
        format: IntFormat,
    ) -> Result<Self> {
        check_count("values", values.len(), shape)?;
        let order = Order::new(shape, axis);
        Ok(Self::packed_from(order, format, |column, depth, out| {
            let mut group = [0.0; LARGEST_GROUP];
            let group = &mut group[..depth.len()];
            for (value, depth) in group.iter_mut().zip(depth) {
                *value = values[order.at(depth, column)];
            }
            round::round(group, format, out)
        }))
    }

    /// A weight that was stored.
    pub(crate) fn from_stored(
        stored: &Stored,
        shape: [usize; 2],
        axis: DepthAxis,
        format: IntFormat,
    ) -> Result<Self> {
        let order = Order::new(shape, axis);
        let scales = order.in_groups(order.depth.div_ceil(format.group_size()));
        check_count("whole", stored.whole.len(), shape)?;
        check_count("scales", stored.scales.len(), scales.shape())?;
        Ok(Self::packed_from(order, format, |column, depth, out| {
            let group = depth.start / format.group_size();
            for (number, depth) in out.iter_mut().zip(depth) {
                *number = stored.whole[order.at(depth, column)];
            }
            stored.scales[scales.at(group, column)]
        }))
    }

    /// Packs the groups that `fill` gives, panels side by side.
    fn packed_from(
        order: Order,
        format: IntFormat,
        fill: impl Fn(usize, std::ops::Range<usize>, &mut [i8]) -> bf16 + Sync,
    ) -> Self {
        let shape = Shape { depth: order.depth, columns: order.columns, format };
        let mut values = vec![shape.zero(); shape.panels() * shape.panel_bytes()];
        let mut scales = vec![bf16::ZERO; shape.panels() * shape.panel_scales()];
        let panels = values
            .par_chunks_mut(shape.panel_bytes())
            .zip(scales.par_chunks_mut(shape.panel_scales()));
        panels.enumerate().for_each(|(panel, (values, scales))| {
            let mut whole = [0; LARGEST_GROUP];
            for group in 0..shape.groups() {
                let depth = shape.group(group);
                let whole = &mut whole[..depth.len()];
                for lane in 0..PANEL.min(shape.columns - panel * PANEL) {
                    let scale = fill(panel * PANEL + lane, depth.clone(), whole);
                    scales[group * PANEL + lane] = scale;
                    shape.write(values, lane, depth.start, whole);
                }
            }
        });
        Self(Arc::new(Content { order, shape, values, scales }))
    }

    /// Extents of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.0.order.shape()
    }

    /// The axis that products sum over.
    #[must_use]
    pub fn axis(&self) -> DepthAxis {
        self.0.order.axis
    }

    /// The whole numbers' kind.
    #[must_use]
    pub fn format(&self) -> IntFormat {
        self.0.shape.format
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.values.len() + 2 * self.0.scales.len()
    }

    /// The weight that the numbers stand for, row by row.
    #[must_use]
    pub fn to_values(&self) -> Vec<f32> {
        let (order, shape) = (self.0.order, self.0.shape);
        let mut values = vec![0.0; shape.depth * shape.columns];
        for column in 0..shape.columns {
            for (depth, value) in self.column(column).enumerate() {
                values[order.at(depth, column)] = value;
            }
        }
        values
    }

    /// The numbers as they are stored.
    pub(crate) fn to_stored(&self) -> Stored {
        let (order, shape) = (self.0.order, self.0.shape);
        let scale_order = order.in_groups(shape.groups());
        let mut whole = vec![0; shape.depth * shape.columns];
        let mut scales = vec![bf16::ZERO; shape.groups() * shape.columns];
        for column in 0..shape.columns {
            for group in 0..shape.groups() {
                let (numbers, scale) = self.packed().read(column, group);
                scales[scale_order.at(group, column)] = scale;
                for (depth, number) in shape.group(group).zip(numbers) {
                    whole[order.at(depth, column)] = number;
                }
            }
        }
        Stored { whole, scales }
    }

    /// One column of the product, which of a table is a row.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = f32> + '_ {
        (0..self.0.shape.groups()).flat_map(move |group| {
            let (numbers, scale) = self.packed().read(column, group);
            numbers.map(move |number| scale.to_f32() * f32::from(number))
        })
    }

    /// As the kernels see it.
    pub(crate) fn packed(&self) -> Packed<'_> {
        Packed { shape: self.0.shape, values: &self.0.values, scales: &self.0.scales }
    }
}

impl fmt::Debug for QuantizedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantizedMatrix")
            .field("shape", &self.shape())
            .field("format", &self.format())
            .finish_non_exhaustive()
    }
}
