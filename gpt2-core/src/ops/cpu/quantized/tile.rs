//! The inner loops: some rows of activations times a panel of weights.

use std::ops::Range;

use super::lanes::Lanes;
use super::rows::{GroupRows, QuantizedRows};
use crate::quantize::{IntFormat, PANEL, Packed};

/// A panel of columns of the product, for all rows.
pub(super) struct Panel<'a, 'b> {
    pub x: &'a QuantizedRows,
    pub matrix: Packed<'a>,
    /// Number of the panel.
    pub panel: usize,
    /// What the sums begin with.
    pub bias: Option<&'a [f32]>,
    /// Columns of every row, among them those of the panel.
    pub output: &'a mut [&'b mut [f32]],
    /// Where among them those of the panel begin.
    pub first: usize,
    /// Room for the sums of some rows. They stay in the first cache, together with the group of weights that they are
    /// multiplied with.
    pub sums: &'a mut [[f32; PANEL]],
}

impl Panel<'_, '_> {
    /// Computes it, `M` rows by `V` vectors of columns at a time: as many sums as there are registers for.
    #[inline(always)]
    pub fn run<L: Lanes, const M: usize, const V: usize>(self, lanes: L) {
        match self.matrix.shape.format {
            IntFormat::Int8 => self.blocks::<L, 8, M, V>(lanes),
            IntFormat::Int4 => self.blocks::<L, 4, M, V>(lanes),
        }
    }

    #[inline(always)]
    fn blocks<L: Lanes, const BITS: u32, const M: usize, const V: usize>(self, lanes: L) {
        let Self { x, matrix, panel, bias, output, first, sums } = self;
        let width = PANEL.min(output.first().map_or(0, |row| row.len() - first));
        let block = sums.len();
        for (at, output) in output.chunks_mut(block).enumerate() {
            let rows = at * block..at * block + output.len();
            let sums = &mut sums[..output.len()];
            for sums in sums.iter_mut() {
                match bias {
                    Some(bias) => sums[..width].copy_from_slice(&bias[..width]),
                    None => sums.fill(0.0),
                }
            }
            add_groups::<L, BITS, M, V>(lanes, x, matrix, panel, &rows, sums);
            for (sums, output) in sums.iter().zip(output) {
                output[first..first + width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Adds the product of some rows with a panel, group by group.
#[inline(always)]
fn add_groups<L: Lanes, const BITS: u32, const M: usize, const V: usize>(
    lanes: L,
    x: &QuantizedRows,
    matrix: Packed<'_>,
    panel: usize,
    rows: &Range<usize>,
    sums: &mut [[f32; PANEL]],
) {
    for group in 0..matrix.shape.groups() {
        let (weights, halves) = matrix.group(panel, group);
        let mut scales = [0.0; PANEL];
        for (scale, half) in scales.iter_mut().zip(halves) {
            *scale = half.to_f32();
        }
        let x = x.group(group, rows.clone());
        for first in (0..PANEL).step_by(V * L::WIDTH) {
            let part = Part { weights, scales: &scales, x, first };
            part.rows::<L, BITS, M, V>(lanes, sums);
        }
    }
}

/// A group of weights in some columns, and what they are multiplied with.
#[derive(Clone, Copy)]
struct Part<'a> {
    weights: &'a [u8],
    scales: &'a [f32; PANEL],
    x: GroupRows<'a>,
    /// The first column.
    first: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn rows<L: Lanes, const BITS: u32, const M: usize, const V: usize>(
        &self,
        lanes: L,
        sums: &mut [[f32; PANEL]],
    ) {
        let mut row = 0;
        while row + M <= sums.len() {
            self.tile::<L, BITS, M, V>(lanes, row, sums);
            row += M;
        }
        while row + 2 <= sums.len() {
            self.tile::<L, BITS, 2, V>(lanes, row, sums);
            row += 2;
        }
        if row < sums.len() {
            self.tile::<L, BITS, 1, V>(lanes, row, sums);
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const BITS: u32, const M: usize, const V: usize>(
        &self,
        lanes: L,
        row: usize,
        sums: &mut [[f32; PANEL]],
    ) {
        let Self { weights, scales, x, first } = *self;
        let mut tile = [[lanes.splat(0); V]; M];
        for (tile, &start) in tile.iter_mut().zip(&x.starts[row..]) {
            *tile = [lanes.splat(start); V];
        }
        // Four numbers of a column lie side by side, and the columns of a panel behind each other.
        let (steps, _) = weights.as_chunks::<{ 4 * PANEL }>();
        let words = steps.len() * (8 / BITS as usize);
        let mut inputs: [&[u32]; M] = [&[]; M];
        for (m, inputs) in inputs.iter_mut().enumerate() {
            *inputs = &x.values[(row + m) * x.words..][..words];
        }
        for (at, step) in steps.iter().enumerate() {
            if BITS == 8 {
                let mut weights = [lanes.bytes(&step[4 * first..]); V];
                for v in 1..V {
                    weights[v] = lanes.bytes(&step[4 * (first + v * L::WIDTH)..]);
                }
                for m in 0..M {
                    let input = lanes.inputs(inputs[m][at]);
                    for v in 0..V {
                        tile[m][v] = lanes.dot(tile[m][v], weights[v], input);
                    }
                }
            } else {
                let mut weights = [lanes.nibbles(&step[4 * first..]); V];
                for v in 1..V {
                    weights[v] = lanes.nibbles(&step[4 * (first + v * L::WIDTH)..]);
                }
                for m in 0..M {
                    for half in 0..2 {
                        let input = lanes.inputs(inputs[m][2 * at + half]);
                        for v in 0..V {
                            tile[m][v] = lanes.dot(tile[m][v], weights[v][half], input);
                        }
                    }
                }
            }
        }
        for (m, tile) in tile.into_iter().enumerate() {
            for (v, whole) in tile.into_iter().enumerate() {
                let column = first + v * L::WIDTH;
                let out = &mut sums[row + m][column..];
                lanes.add_scaled(out, whole, &scales[column..], x.scales[row + m]);
            }
        }
    }
}
