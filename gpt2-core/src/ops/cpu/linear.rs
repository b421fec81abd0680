//! Products of a few rows with a matrix, which is read from memory once.
//!
//! A decoding step is bound by the speed at which memory gives the weights. A general matrix
//! product first rearranges them in blocks, which pays only where many rows use them.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{add_rows, dots, run};

/// Numbers of a matrix below which the threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 19;
/// Rows of the matrix that a task reads.
const DEEP: usize = 192;
/// Rows of the matrix that are added at a time.
const TOGETHER: usize = 8;
/// Columns that are added to several sums before the next ones: they stay in the innermost cache.
const CHUNK: usize = 512;

/// `x @ weight + bias`, `[rows, columns]`.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - weight: `[depth, columns]`
/// - bias: `[columns]`
pub(super) fn linear(x: &[f32], weight: &[f32], bias: &[f32], rows: usize) -> Vec<f32> {
    let (depth, columns) = (x.len() / rows, bias.len());
    let tasks = if depth * columns < PARALLEL { 1 } else { depth.div_ceil(DEEP) };
    let deep = depth.div_ceil(tasks).next_multiple_of(TOGETHER);
    let sum = |task: usize, mut sums: Vec<f32>| {
        let over = task * deep..depth.min((task + 1) * deep);
        run(Linear { x, depth, weight, columns, over, sums: &mut sums });
        sums
    };
    let mut all = bias.repeat(rows);
    if tasks == 1 {
        return sum(0, all);
    }
    let parts: Vec<Vec<f32>> = (0..depth.div_ceil(deep))
        .into_par_iter()
        .with_max_len(1)
        .map(|task| sum(task, vec![0.0; rows * columns]))
        .collect();
    for part in parts {
        all.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    all
}

/// `x @ weight^T`, `[rows, columns]`.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - weight: `[columns, depth]`
pub(super) fn transposed(x: &[f32], weight: &[f32], rows: usize) -> Vec<f32> {
    let depth = x.len() / rows;
    let columns = weight.len() / depth;
    let dots = |weight: &[f32]| {
        let width = weight.len() / depth;
        let mut sums = vec![0.0; rows * width];
        run(Transposed { x, depth, weight, sums: &mut sums, width });
        sums
    };
    if weight.len() < PARALLEL {
        return dots(weight);
    }
    // Two tasks for each thread even out what other programs take from one of them. No sum is divided.
    let width = columns.div_ceil(2 * rayon::current_num_threads());
    let parts: Vec<Vec<f32>> = weight.par_chunks(width * depth).with_max_len(1).map(dots).collect();
    let mut all = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for part in &parts {
            let width = part.len() / rows;
            all.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    all
}

/// The sums over a part of the matrix's rows.
struct Linear<'a> {
    x: &'a [f32],
    depth: usize,
    weight: &'a [f32],
    columns: usize,
    over: Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for Linear<'_> {
    type Output = ();

    /// Memory is asked for what lies ahead of a stream that has been seen to go on, and gives more the more streams
    /// there are. So the rows that are added together are not neighbours: each is the next of a long stream.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let stream = self.over.len() / TOGETHER;
        for at in self.over.start..self.over.start + stream {
            self.add::<S, TOGETHER>(simd, std::array::from_fn(|k| at + k * stream));
        }
        for at in self.over.start + stream * TOGETHER..self.over.end {
            self.add(simd, [at]);
        }
    }
}

impl Linear<'_> {
    /// Adds some rows of the matrix to every sum.
    #[inline(always)]
    fn add<S: Simd, const K: usize>(&mut self, simd: S, at: [usize; K]) {
        let (depth, columns, x) = (self.depth, self.columns, self.x);
        let rows = at.map(|at| &self.weight[at * columns..(at + 1) * columns]);
        let factors = |m: usize| at.map(|at| x[m * depth + at]);
        let chunk = if x.len() == depth { columns } else { CHUNK };
        for first in (0..columns).step_by(chunk) {
            let part = first..columns.min(first + chunk);
            let rows = rows.map(|row| &row[part.clone()]);
            let mut four = self.sums.chunks_exact_mut(4 * columns);
            let mut done = 0;
            for sums in &mut four {
                let factors = std::array::from_fn::<_, 4, _>(|m| factors(done + m));
                add_rows(simd, factors, rows, cut(sums).map(|sums| &mut sums[part.clone()]));
                done += 4;
            }
            for sums in four.into_remainder().chunks_exact_mut(columns) {
                add_rows(simd, [factors(done)], rows, [&mut sums[part.clone()]]);
                done += 1;
            }
        }
    }
}

/// Cuts into `N` equal parts.
#[inline(always)]
fn cut<const N: usize>(whole: &mut [f32]) -> [&mut [f32]; N] {
    let mut parts = whole.chunks_exact_mut(whole.len() / N);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

struct Transposed<'a> {
    x: &'a [f32],
    depth: usize,
    weight: &'a [f32],
    width: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Transposed<'_> {
    type Output = ();

    /// The rows that are read together begin a stream each, for the reason that [`Linear`] has.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let stream = self.width / 4;
        for at in 0..stream {
            self.multiply::<S, 4>(simd, std::array::from_fn(|j| at + j * stream));
        }
        for at in stream * 4..self.width {
            self.multiply(simd, [at]);
        }
    }
}

impl Transposed<'_> {
    /// Dot products of some rows of the matrix with every row of `x`.
    #[inline(always)]
    fn multiply<S: Simd, const J: usize>(&mut self, simd: S, at: [usize; J]) {
        let (depth, width) = (self.depth, self.width);
        let rows = at.map(|at| &self.weight[at * depth..(at + 1) * depth]);
        let mut write = |row: usize, found: [f32; J]| {
            for (at, found) in at.into_iter().zip(found) {
                self.sums[row * width + at] = found;
            }
        };
        let mut four = self.x.chunks_exact(4 * depth);
        let mut done = 0;
        for xs in &mut four {
            let xs: [&[f32]; 4] = std::array::from_fn(|m| &xs[m * depth..(m + 1) * depth]);
            for found in dots(simd, xs, rows) {
                write(done, found);
                done += 1;
            }
        }
        for x in four.remainder().chunks_exact(depth) {
            let [found] = dots(simd, [x], rows);
            write(done, found);
            done += 1;
        }
    }
}
