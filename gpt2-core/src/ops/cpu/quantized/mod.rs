//! Products with weights in fewer bits.
//!
//! Activations are quantized as they come, weights were when the model was loaded. The weights lie in memory in the
//! order in which the loops want them, so that few rows stream them once, and many rows find a panel in the cache.

mod flex;
mod half;
mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
mod rows;
#[cfg(test)]
mod tests;
mod tile;

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use self::lanes::{Lanes, Portable};
#[cfg(target_arch = "x86_64")]
use self::lanes_x86::Vnni;
use self::rows::QuantizedRows;
use self::tile::Panel;
use super::level::{Level, level};
use super::simd;
use crate::quantize::{PANEL, Packed};

/// Rows whose sums exist at a time.
const BLOCK: usize = 48;
/// Multiplications below which the threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 20;

/// `x @ matrix + bias`; then calls `then` with the row, the first column and the numbers of every piece of a row while
/// it is in the cache.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - bias: `[columns]`
/// - output: `[rows, columns]`
fn product(
    x: &[f32],
    rows: usize,
    matrix: Packed<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    product_at(level(), x, rows, matrix, bias, output, then);
}

fn product_at(
    level: Level,
    x: &[f32],
    rows: usize,
    matrix: Packed<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let x = &QuantizedRows::new(level, x, rows, matrix.shape);
    let extents = [rows, matrix.shape.depth, matrix.shape.columns];
    by_panels(extents, output, then, |panel, output, first, sums| {
        let bias = bias.map(|bias| &bias[panel * PANEL..]);
        run_at(level, Panel { x, matrix, panel, bias, output, first, sums });
    });
}

/// Calls `work` for every panel with columns of the output, where among them those of the panel begin, and room for the
/// sums of some rows; and `then` for each piece of it.
fn by_panels(
    [rows, depth, columns]: [usize; 3],
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
    work: impl Fn(usize, &mut [&mut [f32]], usize, &mut [[f32; PANEL]]) + Sync,
) {
    let panels = columns.div_ceil(PANEL);
    // Some tasks for each thread even out what other programs take from one of them.
    let tasks = match rows * depth * columns {
        0..PARALLEL => 1,
        _ => (4 * rayon::current_num_threads()).min(panels),
    };
    let width = panels.div_ceil(tasks);
    let task = |(task, mut part): (usize, Vec<&mut [f32]>)| {
        let mut sums = vec![[0.0; PANEL]; BLOCK.min(rows)];
        for panel in task * width..panels.min((task + 1) * width) {
            let first = (panel - task * width) * PANEL;
            work(panel, &mut part, first, &mut sums);
            for (row, part) in part.iter_mut().enumerate() {
                let end = part.len().min(first + PANEL);
                then(row, panel * PANEL, &mut part[first..end]);
            }
        }
    };
    let parts = by_columns(output, columns, width * PANEL);
    match tasks {
        1 => parts.into_iter().enumerate().for_each(task),
        _ => parts.into_par_iter().with_max_len(1).enumerate().for_each(task),
    }
}

/// The matrix in parts of `width` columns: of each part its piece of every row.
fn by_columns(matrix: &mut [f32], columns: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
    parts.resize_with(columns.div_ceil(width), Vec::new);
    for row in matrix.chunks_exact_mut(columns) {
        for (part, piece) in parts.iter_mut().zip(row.chunks_mut(width)) {
            part.push(piece);
        }
    }
    parts
}

/// Runs a panel with the instructions of a level, or the nearest below it that the processor has.
fn run_at(level: Level, panel: Panel<'_, '_>) {
    #[cfg(target_arch = "x86_64")]
    {
        if level >= Level::Avx512Vnni
            && let Some(lanes) = Vnni::try_new()
        {
            return lanes.vectorize(OnLanes::<_, 6, 4> { lanes, panel });
        }
        // Without that instruction, wider vectors are hardly faster than these.
        if level >= Level::Avx2
            && let Some(lanes) = pulp::x86::V3::try_new()
        {
            return lanes.vectorize(OnLanes::<_, 2, 2> { lanes, panel });
        }
    }
    simd::run_at(level, OnLanes::<_, 2, 1> { lanes: Portable, panel });
}

/// A panel on its way to where the compiler uses the instructions of `lanes`: `M` rows by `V` vectors are as many
/// sums as there are registers for.
struct OnLanes<'a, 'b, L, const M: usize, const V: usize> {
    lanes: L,
    panel: Panel<'a, 'b>,
}

impl<L: Lanes, const M: usize, const V: usize> NullaryFnOnce for OnLanes<'_, '_, L, M, V> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.panel.run::<L, M, V>(self.lanes);
    }
}
