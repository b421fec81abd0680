//! Attention of many new tokens to what a cache holds, where it lies: a prompt, or the next part of it.

use std::ops::Range;

use rayon::prelude::*;

use super::decode::Shape;
use super::forward::forward;
use super::{Head, Rows};
use crate::ops::cpu::output::Output;

/// As [`decode::attend`](super::decode::attend), for more tokens than a few.
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
    let to = Output::new(&mut output, embd);
    (0..places.len() * heads).into_par_iter().with_max_len(1).for_each(|number| {
        let (row, head) = (number / heads, number % heads);
        let places = &places[row];
        if places.is_empty() {
            return;
        }
        let cached = |values| Rows {
            values,
            first: number * capacity * head_dim,
            stride: head_dim,
            head_dim,
            len: places.end,
        };
        let query = Rows {
            values: qkv,
            first: row * seq * 3 * embd + head * head_dim,
            stride: 3 * embd,
            head_dim,
            len: places.len(),
        };
        let (key, value) = (cached(keys), cached(values));
        let head_of = Head { query, key, value, past: places.start, factor, dropout: None };
        let columns = head * head_dim..(head + 1) * head_dim;
        forward(head_of, &to, row * seq, columns, &mut vec![0.0; places.len()]);
    });
    output
}
