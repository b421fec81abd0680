//! Matrices rearranged for the kernel.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Matrix;
use crate::ops::cpu::simd::run;

/// A line of the cache, which no vector of the processor then crosses.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(super) struct Line([f32; 16]);

/// Room for `len` numbers, with what was there before.
pub(super) fn numbers(buffer: &mut Vec<Line>, len: usize) -> &mut [f32] {
    let lines = len.div_ceil(16);
    if buffer.len() < lines {
        buffer.resize(lines, Line([0.0; 16]));
    }
    &mut bytemuck::cast_slice_mut(buffer)[..len]
}

/// A panel: the first number of `unit` rows, the second ones, and so on; 0 where there are fewer rows.
pub(super) fn pack(
    matrix: Matrix<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    unit: usize,
    panel: &mut [f32],
) {
    let Matrix { values, row_stride, column_stride, .. } = matrix;
    if rows.len() < unit {
        panel.fill(0.0);
    }
    let at = |row: usize, column: usize| row * row_stride + column * column_stride;
    if row_stride == 1 && rows.len() == unit {
        let values = &values[at(rows.start, columns.start)..];
        // The sizes that there are; of what has a known size no copy is a call.
        match unit {
            6 => return run(Copy::<6> { values, column_stride, panel }),
            8 => return run(Copy::<8> { values, column_stride, panel }),
            12 => return run(Copy::<12> { values, column_stride, panel }),
            16 => return run(Copy::<16> { values, column_stride, panel }),
            48 => return run(Copy::<48> { values, column_stride, panel }),
            _ => {}
        }
    }
    if row_stride == 1 {
        for (column, panel) in columns.zip(panel.chunks_exact_mut(unit)) {
            let start = at(rows.start, column);
            panel[..rows.len()].copy_from_slice(&values[start..start + rows.len()]);
        }
        return;
    }
    run(Transpose { matrix, rows, columns, unit, panel });
}

/// Whole columns of so many rows, which go into a panel as they are.
struct Copy<'a, const UNIT: usize> {
    values: &'a [f32],
    column_stride: usize,
    panel: &'a mut [f32],
}

impl<const UNIT: usize> WithSimd for Copy<'_, UNIT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { values, column_stride, panel } = self;
        for (column, to) in panel.as_chunks_mut::<UNIT>().0.iter_mut().enumerate() {
            to.copy_from_slice(&values[column * column_stride..][..UNIT]);
        }
    }
}

/// Rows and columns that are exchanged at a time.
const SQUARE: usize = 8;

struct Transpose<'a> {
    matrix: Matrix<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    unit: usize,
    panel: &'a mut [f32],
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { matrix, rows, columns, unit, panel } = self;
        let Matrix { values, row_stride, .. } = matrix;
        let row = |row: usize| &values[row * row_stride..][columns.clone()];
        let squares = rows.len() / SQUARE * SQUARE;
        for lane in (0..squares).step_by(SQUARE) {
            let from: [&[f32]; SQUARE] = std::array::from_fn(|at| row(rows.start + lane + at));
            transpose(from, unit, &mut panel[lane..]);
        }
        for lane in squares..rows.len() {
            let to = panel[lane..].iter_mut().step_by(unit);
            to.zip(row(rows.start + lane)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Columns of some rows, `unit` apart.
#[inline(always)]
fn transpose(rows: [&[f32]; SQUARE], unit: usize, panel: &mut [f32]) {
    let len = rows[0].len();
    let rows = rows.map(|row| &row[..len]);
    let mut to = panel.chunks_mut(unit);
    let whole = len / SQUARE * SQUARE;
    for first in (0..whole).step_by(SQUARE) {
        let mut square = [[0.0; SQUARE]; SQUARE];
        for at in 0..SQUARE {
            square[at].copy_from_slice(&rows[at][first..first + SQUARE]);
        }
        let mut turned = [[0.0; SQUARE]; SQUARE];
        for at in 0..SQUARE {
            for other in 0..SQUARE {
                turned[other][at] = square[at][other];
            }
        }
        for (turned, to) in turned.iter().zip(&mut to) {
            to[..SQUARE].copy_from_slice(turned);
        }
    }
    for (column, to) in (whole..len).zip(to) {
        for at in 0..SQUARE {
            to[at] = rows[at][column];
        }
    }
}
