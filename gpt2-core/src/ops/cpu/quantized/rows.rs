//! Activations as signed bytes, a scale for each row and group.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::level::Level;
use super::super::simd;
use crate::quantize::Shape;

/// Adding it rounds to an integer, halves to even, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Numbers below which the threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 17;

/// Quantized activations, group by group: `values[group][row][depth of the group]`.
///
/// A group has a scale of its own in every row because GPT-2's activations have a few channels that are a hundred
/// times as large as the others (Dettmers et al. 2022): within a row they would leave the others nothing but zeros.
#[derive(Debug)]
pub(super) struct QuantizedRows {
    /// Four bytes each, the first of them the lowest.
    values: Vec<u32>,
    /// `[group][row]`.
    scales: Vec<f32>,
    /// `[group][row]`: the sums of the integers, negative and times what was added to the weights.
    starts: Vec<i32>,
    rows: usize,
    words: usize,
}

/// The rows of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupRows<'a> {
    /// `[row][words]`.
    pub values: &'a [u32],
    pub scales: &'a [f32],
    pub starts: &'a [i32],
    pub words: usize,
}

impl QuantizedRows {
    /// Quantizes `x`, `[rows, depth]`.
    pub fn new(level: Level, x: &[f32], rows: usize, shape: Shape) -> Self {
        let (groups, size) = (shape.groups(), shape.format.group_size());
        let words = size / 4;
        let mut values = vec![0; groups * rows * words];
        let (mut scales, mut starts) = (vec![0.0; groups * rows], vec![0; groups * rows]);
        let quantize =
            |group: usize, values: &mut [u32], scales: &mut [f32], starts: &mut [i32]| {
                let depth = group * size..shape.depth.min((group + 1) * size);
                let (stride, offset) = (shape.depth, shape.offset());
                let code = Quantize { x, stride, depth, offset, values, scales, starts };
                simd::run_at(level, code);
            };
        if x.len() < PARALLEL {
            let parts = values
                .chunks_mut(rows * words)
                .zip(scales.chunks_mut(rows))
                .zip(starts.chunks_mut(rows));
            for (group, ((values, scales), starts)) in parts.enumerate() {
                quantize(group, values, scales, starts);
            }
        } else {
            let parts = values
                .par_chunks_mut(rows * words)
                .zip(scales.par_chunks_mut(rows))
                .zip(starts.par_chunks_mut(rows));
            parts.enumerate().for_each(|(group, ((values, scales), starts))| {
                quantize(group, values, scales, starts)
            });
        }
        Self { values, scales, starts, rows, words }
    }

    /// The rows `from` to `to` of a group.
    pub fn group(&self, group: usize, rows: Range<usize>) -> GroupRows<'_> {
        let (start, end) = (group * self.rows + rows.start, group * self.rows + rows.end);
        GroupRows {
            values: &self.values[start * self.words..end * self.words],
            scales: &self.scales[start..end],
            starts: &self.starts[start..end],
            words: self.words,
        }
    }
}

/// Quantizes one group of every row.
struct Quantize<'a> {
    x: &'a [f32],
    stride: usize,
    depth: Range<usize>,
    offset: i32,
    values: &'a mut [u32],
    scales: &'a mut [f32],
    starts: &'a mut [i32],
}

impl WithSimd for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let words = self.values.len() / self.scales.len();
        let rows = self.x.chunks_exact(self.stride).zip(self.values.chunks_exact_mut(words));
        for ((x, values), (scale, start)) in rows.zip(self.scales.iter_mut().zip(self.starts)) {
            let x = &x[self.depth.clone()];
            // As integers, so that NaN is the largest and makes the whole row NaN.
            let largest = x.iter().fold(0, |largest, v| largest.max(v.to_bits() & 0x7FFF_FFFF));
            let largest = f32::from_bits(largest);
            *scale = largest / 127.0;
            let inverse = if largest < f32::MIN_POSITIVE { 0.0 } else { 127.0 / largest };
            *start = -self.offset * fill(x, inverse, values);
        }
    }
}

/// Writes the integers, four to a word, and gives their sum.
#[inline(always)]
fn fill(x: &[f32], inverse: f32, values: &mut [u32]) -> i32 {
    let round = |v: f32| (v * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32 as i8;
    let (fours, rest) = x.as_chunks::<4>();
    let mut sum = 0;
    let mut word = |four: [f32; 4]| {
        let four = four.map(round);
        sum += four.iter().map(|&v| i32::from(v)).sum::<i32>();
        u32::from_le_bytes(four.map(|v| v as u8))
    };
    for (value, &four) in values.iter_mut().zip(fours) {
        *value = word(four);
    }
    if !rest.is_empty() {
        let mut four = [0.0; 4];
        four[..rest.len()].copy_from_slice(rest);
        values[fours.len()] = word(four);
    }
    sum
}
