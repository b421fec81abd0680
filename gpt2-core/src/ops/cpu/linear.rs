//! Products of a few rows with a matrix, which is read from memory once.
//!
//! A decoding step is bound by the speed at which memory gives the weights. A general matrix
//! product first rearranges them in blocks, which pays only where many rows use them.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{add_rows, dots, run};

/// Weights below which the threads would wait for each other longer than for the memory.
const PARALLEL: usize = 1 << 16;
/// Fewest columns of a task: enough of each of the matrix's rows to be read in one go.
const NARROWEST: usize = 384;
/// Columns that tasks begin at a multiple of, so that no sum depends on the number of tasks.
const ALIGNMENT: usize = 64;

/// `x @ weight + bias`, `[rows, columns]`.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - weight: `[depth, columns]`
/// - bias: `[columns]`
pub(super) fn linear(x: &[f32], weight: &[f32], bias: &[f32], rows: usize) -> Vec<f32> {
    let (depth, columns) = (x.len() / rows, bias.len());
    by_columns(rows, depth, columns, |first, bias_part| {
        let part = &bias[first..first + bias_part];
        let mut sums = part.repeat(rows);
        run(Linear { x, depth, weight, columns, first, sums: &mut sums, width: bias_part });
        sums
    })
}

/// `x @ weight^T`, `[rows, columns]`.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - weight: `[columns, depth]`
pub(super) fn transposed(x: &[f32], weight: &[f32], rows: usize) -> Vec<f32> {
    let depth = x.len() / rows;
    by_columns(rows, depth, weight.len() / depth, |first, width| {
        let mut sums = vec![0.0; rows * width];
        let weight = &weight[first * depth..(first + width) * depth];
        run(Transposed { x, depth, weight, sums: &mut sums, width });
        sums
    })
}

/// Divides the columns among the threads and puts the parts, `[rows, width]`, side by side.
fn by_columns(
    rows: usize,
    depth: usize,
    columns: usize,
    part: impl Fn(usize, usize) -> Vec<f32> + Sync,
) -> Vec<f32> {
    let threads = rayon::current_num_threads();
    if depth * columns < PARALLEL || threads == 1 {
        return part(0, columns);
    }
    // Two tasks for each thread even out what other programs take from one of them.
    let tasks = if columns / (2 * threads) < NARROWEST { threads } else { 2 * threads };
    let width = columns.div_ceil(tasks).next_multiple_of(ALIGNMENT);
    let parts: Vec<Vec<f32>> = (0..columns.div_ceil(width))
        .into_par_iter()
        .with_max_len(1)
        .map(|task| part(task * width, width.min(columns - task * width)))
        .collect();
    let mut all = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for part in &parts {
            let width = part.len() / rows;
            all.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    all
}

/// Columns from `first` on, `width` of them.
struct Linear<'a> {
    x: &'a [f32],
    depth: usize,
    weight: &'a [f32],
    columns: usize,
    first: usize,
    width: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Linear<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, depth, weight, columns, first, width, sums } = self;
        let row = |at: usize| &weight[at * columns + first..][..width];
        let whole = depth - depth % 8;
        for at in (0..whole).step_by(8) {
            let rows: [&[f32]; 8] = std::array::from_fn(|k| row(at + k));
            add_to_all(simd, &x[at..], depth, rows, sums);
        }
        for at in whole..depth {
            add_to_all(simd, &x[at..], depth, [row(at)], sums);
        }
    }
}

/// Adds some rows of the matrix to every sum; the next number for each sum is `depth` further on.
#[inline(always)]
fn add_to_all<S: Simd, const K: usize>(
    simd: S,
    x: &[f32],
    depth: usize,
    rows: [&[f32]; K],
    sums: &mut [f32],
) {
    let width = rows[0].len();
    let factors = |m: usize| std::array::from_fn(|k| x[m * depth + k]);
    let mut four = sums.chunks_exact_mut(4 * width);
    let mut done = 0;
    for sums in &mut four {
        add_rows(simd, std::array::from_fn::<_, 4, _>(|m| factors(done + m)), rows, cut(sums));
        done += 4;
    }
    let mut two = four.into_remainder().chunks_exact_mut(2 * width);
    for sums in &mut two {
        add_rows(simd, std::array::from_fn::<_, 2, _>(|m| factors(done + m)), rows, cut(sums));
        done += 2;
    }
    for sums in two.into_remainder().chunks_exact_mut(width) {
        add_rows(simd, [factors(done)], rows, [sums]);
        done += 1;
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

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, depth, weight, width, sums } = self;
        let mut rows = weight.chunks_exact(4 * depth);
        let mut column = 0;
        for rows in &mut rows {
            let rows: [&[f32]; 4] = std::array::from_fn(|j| &rows[j * depth..(j + 1) * depth]);
            dots_with_all(simd, x, depth, rows, &mut sums[column..], width);
            column += 4;
        }
        for row in rows.remainder().chunks_exact(depth) {
            dots_with_all(simd, x, depth, [row], &mut sums[column..], width);
            column += 1;
        }
    }
}

/// Dot products of some rows with every row of `x`; the next row's are `width` further on.
#[inline(always)]
fn dots_with_all<S: Simd, const J: usize>(
    simd: S,
    x: &[f32],
    depth: usize,
    rows: [&[f32]; J],
    sums: &mut [f32],
    width: usize,
) {
    let mut four = x.chunks_exact(4 * depth);
    let mut done = 0;
    for xs in &mut four {
        let xs: [&[f32]; 4] = std::array::from_fn(|m| &xs[m * depth..(m + 1) * depth]);
        for found in dots(simd, xs, rows) {
            sums[done * width..][..J].copy_from_slice(&found);
            done += 1;
        }
    }
    for x in four.remainder().chunks_exact(depth) {
        let [found] = dots(simd, [x], rows);
        sums[done * width..][..J].copy_from_slice(&found);
        done += 1;
    }
}
