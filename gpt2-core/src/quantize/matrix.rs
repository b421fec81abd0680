//! [`QuantizedMatrix`]: whole numbers with scales.

use std::fmt;
use std::sync::Arc;

use half::bf16;
use rayon::prelude::*;

use super::packed::{PANEL, Packed, Shape};
use super::{IntFormat, round};
use crate::{Error, Result};

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
    shape: Shape,
    axis: DepthAxis,
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
    /// [`Error::Argument`] when there are more or fewer values than the shape says, or none.
    pub fn from_values(
        values: &[f32],
        shape: [usize; 2],
        axis: DepthAxis,
        format: IntFormat,
    ) -> Result<Self> {
        check_count("values", values.len(), shape)?;
        let order = Order::new(shape, axis, format);
        Ok(Self::packed_from(order, |column, depth, out| {
            let mut group = [0.0; 64];
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
        let order = Order::new(shape, axis, format);
        check_count("whole", stored.whole.len(), shape)?;
        check_count("scales", stored.scales.len(), order.scales_shape())?;
        Ok(Self::packed_from(order, |column, depth, out| {
            let group = depth.start / format.group_size();
            for (number, depth) in out.iter_mut().zip(depth) {
                *number = stored.whole[order.at(depth, column)];
            }
            stored.scales[order.scale_at(group, column)]
        }))
    }

    /// Packs the groups that `fill` gives, panels side by side.
    fn packed_from(
        order: Order,
        fill: impl Fn(usize, std::ops::Range<usize>, &mut [i8]) -> bf16 + Sync,
    ) -> Self {
        let shape = order.shape;
        let mut values = vec![shape.zero(); shape.panels() * shape.panel_bytes()];
        let mut scales = vec![bf16::ZERO; shape.panels() * shape.panel_scales()];
        let panels = values
            .par_chunks_mut(shape.panel_bytes())
            .zip(scales.par_chunks_mut(shape.panel_scales()));
        panels.enumerate().for_each(|(panel, (values, scales))| {
            let mut whole = [0; 64];
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
        Self(Arc::new(Content { shape, axis: order.axis, values, scales }))
    }

    /// Extents of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        let Shape { depth, columns, .. } = self.0.shape;
        match self.0.axis {
            DepthAxis::First => [depth, columns],
            DepthAxis::Last => [columns, depth],
        }
    }

    /// The axis that products sum over.
    #[must_use]
    pub fn axis(&self) -> DepthAxis {
        self.0.axis
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
        let mut values = vec![0.0; self.0.shape.depth * self.0.shape.columns];
        self.for_each(|order, _, column, depth, numbers, scale| {
            for (depth, number) in depth.zip(numbers) {
                values[order.at(depth, column)] = scale.to_f32() * f32::from(number);
            }
        });
        values
    }

    /// The numbers as they are stored.
    pub(crate) fn to_stored(&self) -> Stored {
        let Shape { depth, columns, .. } = self.0.shape;
        let mut whole = vec![0; depth * columns];
        let mut scales = vec![bf16::ZERO; self.0.shape.groups() * columns];
        self.for_each(|order, group, column, depth, numbers, scale| {
            scales[order.scale_at(group, column)] = scale;
            for (depth, number) in depth.zip(numbers) {
                whole[order.at(depth, column)] = number;
            }
        });
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

    fn for_each(
        &self,
        mut see: impl FnMut(
            Order,
            usize,
            usize,
            std::ops::Range<usize>,
            &mut dyn Iterator<Item = i8>,
            bf16,
        ),
    ) {
        let (shape, axis) = (self.0.shape, self.0.axis);
        let order = Order { shape, axis };
        for column in 0..shape.columns {
            for group in 0..shape.groups() {
                let (mut numbers, scale) = self.packed().read(column, group);
                see(order, group, column, shape.group(group), &mut numbers, scale);
            }
        }
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

/// Where the numbers of a weight lie in its own order.
#[derive(Debug, Clone, Copy)]
struct Order {
    shape: Shape,
    axis: DepthAxis,
}

impl Order {
    fn new([first, last]: [usize; 2], axis: DepthAxis, format: IntFormat) -> Self {
        let (depth, columns) = match axis {
            DepthAxis::First => (first, last),
            DepthAxis::Last => (last, first),
        };
        Self { shape: Shape { depth, columns, format }, axis }
    }

    fn at(self, depth: usize, column: usize) -> usize {
        match self.axis {
            DepthAxis::First => depth * self.shape.columns + column,
            DepthAxis::Last => column * self.shape.depth + depth,
        }
    }

    fn scale_at(self, group: usize, column: usize) -> usize {
        match self.axis {
            DepthAxis::First => group * self.shape.columns + column,
            DepthAxis::Last => column * self.shape.groups() + group,
        }
    }

    fn scales_shape(self) -> [usize; 2] {
        [self.shape.groups(), self.shape.columns]
    }
}

fn check_count(argument: &'static str, found: usize, shape: [usize; 2]) -> Result<()> {
    let expected = shape[0].checked_mul(shape[1]).filter(|&count| count > 0);
    if expected != Some(found) {
        let expected = format!("as many as shape {shape:?} says, at least one");
        return Err(Error::argument(argument, format!("{found} numbers"), expected));
    }
    Ok(())
}
