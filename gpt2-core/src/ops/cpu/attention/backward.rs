//! From the gradient of what [`forward`](super::forward) gives to those of queries, keys and values.

use std::cell::Cell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::panels::Panels;
use super::products::{ROWS, Strip, add_transposed, multiply, width};
use super::{Head, Rows, STRIP, panels};
use crate::ops::cpu::output::Output;
use crate::ops::cpu::simd::{exp, run};

/// What the way back needs of the way there, for one head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attended<'a> {
    pub output: Rows<'a>,
    pub gradient: Rows<'a>,
    /// As `forward` has left them.
    pub sums: &'a [f32],
}

/// Gradients of one head.
///
/// # Shapes
/// - output: a row for each token, from `first_row` on, of which `columns` are the queries', the keys' and the values'
pub(super) fn backward(
    head: Head<'_>,
    attended: Attended<'_>,
    output: &Output<'_>,
    first_row: usize,
    columns: [Range<usize>; 3],
) {
    let mut buffers = BUFFERS.take();
    run(Backward { head, attended, output, first_row, columns, buffers: &mut buffers });
    BUFFERS.set(buffers);
}

thread_local! {
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// Memory, kept since fresh memory costs more than what is done with it.
#[derive(Default)]
struct Buffers {
    keys: Vec<f32>,
    values: Vec<f32>,
    key_rows: Vec<f32>,
    query_rows: Vec<f32>,
    gradient_rows: Vec<f32>,
    probabilities: Vec<f32>,
    scores: Vec<f32>,
    key_sums: Vec<f32>,
    value_sums: Vec<f32>,
}

struct Backward<'a> {
    head: Head<'a>,
    attended: Attended<'a>,
    output: &'a Output<'a>,
    first_row: usize,
    columns: [Range<usize>; 3],
    buffers: &'a mut Buffers,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, attended, output, first_row, columns, buffers } = self;
        let Buffers { keys, values, key_rows, query_rows, gradient_rows, .. } = buffers;
        let Buffers { probabilities, scores, key_sums, value_sums, .. } = buffers;
        let [query_columns, key_columns, value_columns] = columns;
        let width = width::<S>();
        let head_dim = head.query.head_dim;
        let keys = panels::columns(head.key, width, keys);
        let values = panels::columns(head.value, width, values);
        let key_rows = panels::rows(head.key, width, key_rows);
        let places = head.key.len.next_multiple_of(ROWS);
        for sums in [&mut *key_sums, &mut *value_sums] {
            sums.clear();
            sums.resize(places * head_dim.next_multiple_of(width), 0.0);
        }
        for first in (0..head.query.len).step_by(STRIP) {
            let strip = Strip::new(&head, first, width);
            let Strip { rows, seen, stride } = strip;
            probabilities.resize(rows * stride, 0.0);
            scores.resize(rows * stride, 0.0);
            let query = |row: usize| head.query.row(first + row);
            multiply(simd, (rows, head_dim), query, keys, seen, |row, at, product| {
                probabilities[row * stride + at..][..width].copy_from_slice(product);
            });
            let gradient = |row: usize| attended.gradient.row(first + row);
            multiply(simd, (rows, head_dim), gradient, values, seen, |row, at, product| {
                scores[row * stride + at..][..width].copy_from_slice(product);
            });
            let both = probabilities.chunks_exact_mut(stride).zip(scores.chunks_exact_mut(stride));
            for (row, (probabilities, scores)) in both.enumerate() {
                let sees = head.sees(first + row);
                score_gradients(
                    &head,
                    &attended,
                    first + row,
                    &mut probabilities[..sees],
                    &mut scores[..sees],
                );
                probabilities[sees..].fill(0.0);
                scores[sees..].fill(0.0);
            }
            let changes = |row: usize| &scores[row * stride..];
            multiply(simd, (rows, seen), changes, key_rows, head_dim, |row, at, product| {
                let to = output.row(first_row + first + row, query_columns.clone());
                to[at..].iter_mut().zip(product).for_each(|(to, product)| *to = *product);
            });
            let part = |all| rows_of(all, first, rows);
            let gradients = panels::rows(part(attended.gradient), width, gradient_rows);
            add_transposed(simd, probabilities, strip, gradients, value_sums);
            let queries = panels::rows(part(head.query), width, query_rows);
            add_transposed(simd, scores, strip, queries, key_sums);
        }
        for (sums, columns) in [(key_sums, key_columns), (value_sums, value_columns)] {
            let sums = Panels { values: sums, depth: places };
            for row in 0..head.key.len {
                let to = output.row(first_row + row, columns.clone());
                for (to, panel) in
                    to.chunks_mut(width).zip(sums.values.chunks_exact(places * width))
                {
                    to.copy_from_slice(&panel[row * width..][..to.len()]);
                }
            }
        }
    }
}

#[inline(always)]
fn rows_of(rows: Rows<'_>, first: usize, len: usize) -> Rows<'_> {
    Rows { first: rows.first + first * rows.stride, len, ..rows }
}

/// From scores to probabilities as they were used, and from the gradients of those to the gradients
/// of the products of query and keys, of one query.
#[inline(always)]
fn score_gradients(
    head: &Head<'_>,
    attended: &Attended<'_>,
    query: usize,
    probabilities: &mut [f32],
    gradients: &mut [f32],
) {
    let both = attended.output.row(query).iter().zip(attended.gradient.row(query));
    // What all probabilities of the row have in common, since they add up to 1.
    let common = both.map(|(output, gradient)| output * gradient).sum::<f32>();
    let sum = attended.sums[query];
    for score in probabilities.iter_mut() {
        *score = exp(*score * head.factor - sum);
    }
    match head.dropout {
        None => {
            for (probability, gradient) in probabilities.iter().zip(gradients) {
                *gradient = probability * (*gradient - common) * head.factor;
            }
        }
        Some(dropout) => {
            // A dropped probability passes no gradient on, and the others a larger one.
            dropout.drop_from(query, gradients);
            for (probability, gradient) in probabilities.iter().zip(gradients) {
                *gradient = probability * (*gradient - common) * head.factor;
            }
            dropout.drop_from(query, probabilities);
        }
    }
}
