//! Products of a few rows with a matrix, which is read from memory once.
//!
//! A decoding step is bound by the speed at which memory gives the weights. A general matrix
//! product first rearranges them in blocks, which pays only where many rows use them.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{add_rows, dots, run};

/// Multiplications below which the threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 19;
/// Columns up to which a task reads whole rows of the matrix, one behind the other.
const WIDE: usize = 1024;
/// Rows of the matrix that such a task reads.
const DEEP: usize = 192;
/// Columns that tasks begin at a multiple of, so that no sum depends on the number of threads.
const ALIGNMENT: usize = 64;

/// `x @ weight + bias`, `[rows, columns]`.
///
/// # Shapes
/// - x: `[rows, depth]`
/// - weight: `[depth, columns]`
/// - bias: `[columns]`
pub(super) fn linear(x: &[f32], weight: &[f32], bias: &[f32], rows: usize) -> Vec<f32> {
    let (depth, columns) = (x.len() / rows, bias.len());
    let whole = Linear { x, depth, weight, columns, over: 0..depth, first: 0, width: columns };
    if rows * depth * columns < PARALLEL || columns > WIDE {
        return by_columns(rows, depth, columns, |first, width| {
            let part = Linear { first, width, ..whole.clone() };
            part.add_to(bias[first..first + width].repeat(rows))
        });
    }
    let deep = depth.div_ceil(depth.div_ceil(DEEP)).next_multiple_of(8);
    let parts: Vec<Vec<f32>> = (0..depth.div_ceil(deep))
        .into_par_iter()
        .with_max_len(1)
        .map(|task| {
            let over = task * deep..depth.min((task + 1) * deep);
            Linear { over, ..whole.clone() }.add_to(vec![0.0; rows * columns])
        })
        .collect();
    let mut all = bias.repeat(rows);
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
    if rows * depth * columns < PARALLEL || threads == 1 {
        return part(0, columns);
    }
    // Two tasks for each thread even out what other programs take from one of them.
    let width = columns.div_ceil(2 * threads).next_multiple_of(ALIGNMENT);
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

/// A part of the product: some columns, over some of the matrix's rows.
#[derive(Clone)]
struct Linear<'a> {
    x: &'a [f32],
    depth: usize,
    weight: &'a [f32],
    columns: usize,
    over: Range<usize>,
    first: usize,
    width: usize,
}

impl Linear<'_> {
    fn add_to(self, mut sums: Vec<f32>) -> Vec<f32> {
        run(AddTo { part: self, sums: &mut sums });
        sums
    }

    /// Adds `K` rows of the matrix at a time.
    #[inline(always)]
    fn by_rows<S: Simd, const K: usize>(&self, simd: S, sums: &mut [f32]) {
        let row = |at: usize| &self.weight[at * self.columns + self.first..][..self.width];
        let end = self.over.end - self.over.len() % K;
        for at in (self.over.start..end).step_by(K) {
            let rows: [&[f32]; K] = std::array::from_fn(|k| row(at + k));
            add_to_all(simd, &self.x[at..], self.depth, rows, sums);
        }
        for at in end..self.over.end {
            add_to_all(simd, &self.x[at..], self.depth, [row(at)], sums);
        }
    }
}

struct AddTo<'a> {
    part: Linear<'a>,
    sums: &'a mut [f32],
}

impl WithSimd for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many factors as there are registers for.
        match self.sums.len() / self.part.width {
            0..4 => self.part.by_rows::<S, 8>(simd, self.sums),
            _ => self.part.by_rows::<S, 4>(simd, self.sums),
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
    for sums in four.into_remainder().chunks_exact_mut(width) {
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
        let mut rows = weight.chunks_exact(8 * depth);
        let mut column = 0;
        for rows in &mut rows {
            let rows: [&[f32]; 8] = std::array::from_fn(|j| &rows[j * depth..(j + 1) * depth]);
            dots_with_all(simd, x, depth, rows, &mut sums[column..], width);
            column += 8;
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
    let mut two = x.chunks_exact(2 * depth);
    let mut done = 0;
    for xs in &mut two {
        let xs: [&[f32]; 2] = std::array::from_fn(|m| &xs[m * depth..(m + 1) * depth]);
        for found in dots(simd, xs, rows) {
            sums[done * width..][..J].copy_from_slice(&found);
            done += 1;
        }
    }
    for x in two.remainder().chunks_exact(depth) {
        let [found] = dots(simd, [x], rows);
        sums[done * width..][..J].copy_from_slice(&found);
        done += 1;
    }
}
