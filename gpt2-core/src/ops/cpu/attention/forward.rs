//! From queries, keys and values to what each query makes of them.

use std::cell::Cell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::products::{Strip, multiply, width};
use super::softmax::exponentials;
use super::{Head, STRIP, panels};
use crate::ops::cpu::output::Output;
use crate::ops::cpu::simd::run;

/// Attention of one head.
///
/// # Shapes
/// - output: a row for each query, from `first_row` on, of which the head has `columns`
/// - sums: for each query the logarithm of the sum of exponentials of its scores
pub(super) fn forward(
    head: Head<'_>,
    output: &Output<'_>,
    first_row: usize,
    columns: Range<usize>,
    sums: &mut [f32],
) {
    let mut buffers = BUFFERS.take();
    run(Forward { head, output, first_row, columns, sums, buffers: &mut buffers });
    BUFFERS.set(buffers);
}

thread_local! {
    /// Keys, values and scores; kept, since fresh memory costs more than what is done with it.
    static BUFFERS: Cell<[Vec<f32>; 3]> = const { Cell::new([const { Vec::new() }; 3]) };
}

struct Forward<'a> {
    head: Head<'a>,
    output: &'a Output<'a>,
    first_row: usize,
    columns: Range<usize>,
    sums: &'a mut [f32],
    buffers: &'a mut [Vec<f32>; 3],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, output, first_row, columns, sums, buffers: [keys, values, scores] } = self;
        let width = width::<S>();
        let keys = panels::columns(head.key, width, keys);
        let values = panels::rows(head.value, width, values);
        let head_dim = head.value.head_dim;
        for first in (0..head.query.len).step_by(STRIP) {
            let strip = Strip::new(&head, first, width);
            let Strip { rows, seen, stride } = strip;
            scores.resize(rows * stride, 0.0);
            let query = |row: usize| head.query.row(first + row);
            multiply(simd, (rows, head_dim), query, keys, seen, |row, at, product| {
                scores[row * stride + at..][..width].copy_from_slice(product);
            });
            let mut shares = [0.0; STRIP];
            for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
                let (visible, hidden) = scores.split_at_mut(head.sees(first + row));
                let (sum, logarithm) = exponentials(simd, visible, head.factor);
                if let Some(dropout) = head.dropout {
                    dropout.drop_from(first + row, visible);
                }
                hidden.fill(0.0);
                shares[row] = 1.0 / sum;
                sums[first + row] = logarithm;
            }
            let weights = |row: usize| &scores[row * stride..];
            multiply(simd, (rows, seen), weights, values, head_dim, |row, at, product| {
                let to = output.row(first_row + first + row, columns.clone());
                for (to, product) in to[at..].iter_mut().zip(product) {
                    *to = product * shares[row];
                }
            });
        }
    }
}
