//! Attention of a few new tokens to what a cache holds, where it lies.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::ops::cpu::simd::{add_rows, dots, exp, run};

/// Keys whose scores are kept at a time; the softmax goes over the text in such blocks, so that
/// no memory grows with it (Milakov and Gimelshein 2018).
const BLOCK: usize = 32;
/// Numbers of the cache below which one thread is faster than several.
const PARALLEL: usize = 1 << 15;

/// Extents of the cache and of the heads.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops::cpu) struct Shape {
    pub heads: usize,
    pub head_dim: usize,
    pub capacity: usize,
    pub seq: usize,
}

/// Writes keys or values of `part` (1 or 2) of `qkv` into their places.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`
/// - cached: `[rows or more, head, capacity, head_dim]`
pub(in crate::ops::cpu) fn write(
    qkv: &[f32],
    part: usize,
    places: &[Range<usize>],
    shape: Shape,
    cached: &mut [f32],
) {
    let Shape { heads, head_dim, capacity, seq } = shape;
    let embd = heads * head_dim;
    for (row, places) in places.iter().enumerate() {
        for (at, place) in places.clone().enumerate() {
            let token = &qkv[((row * seq + at) * 3 + part) * embd..][..embd];
            for (head, new) in token.chunks_exact(head_dim).enumerate() {
                let to = ((row * heads + head) * capacity + place) * head_dim;
                cached[to..to + head_dim].copy_from_slice(new);
            }
        }
    }
}

/// What each new token makes of what it sees, `[rows, seq, embd]`; 0 for padding.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`, of which the queries are used
/// - keys, values: `[rows or more, head, capacity, head_dim]`
pub(in crate::ops::cpu) fn attend(
    qkv: &[f32],
    keys: &[f32],
    values: &[f32],
    places: &[Range<usize>],
    shape: Shape,
    factor: f32,
) -> Vec<f32> {
    let Shape { heads, head_dim, capacity, seq } = shape;
    let embd = heads * head_dim;
    let mut output = vec![0.0; places.len() * seq * embd];
    let one = |(index, output): (usize, &mut [f32])| {
        let (token, head) = (index / heads, index % heads);
        let (row, at) = (token / seq, token % seq);
        if at >= places[row].len() {
            return;
        }
        let seen = (places[row].start + at + 1) * head_dim;
        let from = (row * heads + head) * capacity * head_dim;
        run(Attend {
            query: &qkv[token * 3 * embd + head * head_dim..][..head_dim],
            keys: &keys[from..from + seen],
            values: &values[from..from + seen],
            factor,
            output,
        });
    };
    let seen = places.iter().map(|places| places.end * places.len()).sum::<usize>();
    if seen * embd < PARALLEL {
        output.chunks_exact_mut(head_dim).enumerate().for_each(one);
    } else {
        output.par_chunks_exact_mut(head_dim).enumerate().for_each(one);
    }
    output
}

/// One query of one head.
struct Attend<'a> {
    query: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    factor: f32,
    output: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { query, keys, values, factor, output } = self;
        let size = BLOCK * query.len();
        let (mut highest, mut total) = (f32::NEG_INFINITY, 0.0);
        for (keys, values) in keys.chunks(size).zip(values.chunks(size)) {
            let mut scores = [f32::NEG_INFINITY; BLOCK];
            score(simd, query, keys, factor, &mut scores);
            let high = scores.iter().fold(highest, |high, &score| high.max(score));
            if high > highest {
                let shrink = exp(highest - high);
                total *= shrink;
                output.iter_mut().for_each(|sum| *sum *= shrink);
                highest = high;
            }
            for score in &mut scores {
                *score = exp(*score - highest);
            }
            total += scores[..values.len() / query.len()].iter().sum::<f32>();
            weigh(simd, &scores, values, output);
        }
        let share = 1.0 / total;
        output.iter_mut().for_each(|sum| *sum *= share);
    }
}

#[inline(always)]
fn score<S: Simd>(simd: S, query: &[f32], keys: &[f32], factor: f32, scores: &mut [f32; BLOCK]) {
    let head_dim = query.len();
    let mut four = keys.chunks_exact(4 * head_dim);
    let mut done = 0;
    for keys in &mut four {
        let keys: [&[f32]; 4] = std::array::from_fn(|j| &keys[j * head_dim..(j + 1) * head_dim]);
        let [found] = dots(simd, [query], keys);
        for found in found {
            scores[done] = found * factor;
            done += 1;
        }
    }
    for key in four.remainder().chunks_exact(head_dim) {
        let [[found]] = dots(simd, [query], [key]);
        scores[done] = found * factor;
        done += 1;
    }
}

#[inline(always)]
fn weigh<S: Simd>(simd: S, weights: &[f32; BLOCK], values: &[f32], output: &mut [f32]) {
    let head_dim = output.len();
    let mut four = values.chunks_exact(4 * head_dim);
    let mut done = 0;
    for values in &mut four {
        let rows: [&[f32]; 4] = std::array::from_fn(|k| &values[k * head_dim..(k + 1) * head_dim]);
        add_rows(simd, [std::array::from_fn(|k| weights[done + k])], rows, [&mut *output]);
        done += 4;
    }
    for value in four.remainder().chunks_exact(head_dim) {
        add_rows(simd, [[weights[done]]], [value], [&mut *output]);
        done += 1;
    }
}
