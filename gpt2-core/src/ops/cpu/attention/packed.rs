//! Attention from queries, keys and values that lie side by side.

use std::ops::Range;

use rayon::prelude::*;

use super::backward::{Attended, backward};
use super::forward::forward;
use super::softmax::Dropout;
use super::{Head, Rows};
use crate::ops::cpu::output::Output;
use crate::ops::dropout::Mask;

/// What is attended, and how.
///
/// # Shapes
/// - qkv: `[batch, seq, 3 heads head_dim]`, query, key and value side by side
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Packed<'a> {
    pub qkv: &'a [f32],
    pub seq: usize,
    pub heads: usize,
    pub head_dim: usize,
    /// Factor on the scores.
    pub factor: f32,
    /// Mask of dropout on the probabilities, `[batch, heads, seq, seq]`.
    pub mask: Option<Mask>,
}

impl<'a> Packed<'a> {
    fn embd(&self) -> usize {
        self.heads * self.head_dim
    }

    /// One head of all rows, which are numbered through.
    fn head(&self, number: usize) -> Head<'a> {
        let (row, head) = (number / self.heads, number % self.heads);
        let part = |part: usize| Rows {
            values: self.qkv,
            first: (row * self.seq * 3 + part) * self.embd() + head * self.head_dim,
            stride: 3 * self.embd(),
            head_dim: self.head_dim,
            len: self.seq,
        };
        let dropout = self.mask.map(|mask| {
            let first = number * self.seq * self.seq;
            Dropout { mask, first, row: self.seq }
        });
        Head { query: part(0), key: part(1), value: part(2), past: 0, factor: self.factor, dropout }
    }

    /// Where the head is in a row of parts of `embd` numbers.
    fn columns(&self, number: usize, part: usize) -> Range<usize> {
        let first = part * self.embd() + number % self.heads * self.head_dim;
        first..first + self.head_dim
    }

    /// The same head in a matrix `[batch, seq, embd]`.
    fn merged<'m>(&self, number: usize, values: &'m [f32]) -> Rows<'m> {
        let (row, head) = (number / self.heads, number % self.heads);
        Rows {
            values,
            first: row * self.seq * self.embd() + head * self.head_dim,
            stride: self.embd(),
            head_dim: self.head_dim,
            len: self.seq,
        }
    }

    /// What each token makes of what it sees.
    ///
    /// # Shapes
    /// - output: `[batch, seq, embd]`
    /// - sums: `[batch, heads, seq]`, the logarithms that [`backward`](Self::backward) needs
    pub fn forward(&self, output: &mut [f32], sums: &mut [f32]) {
        let output = Output::new(output, self.embd());
        sums.par_chunks_mut(self.seq).enumerate().with_max_len(1).for_each(|(number, sums)| {
            let first_row = number / self.heads * self.seq;
            forward(self.head(number), &output, first_row, self.columns(number, 0), sums);
        });
    }

    /// The gradient of `qkv`, from the output and its gradient.
    ///
    /// # Shapes
    /// - output, gradient: `[batch, seq, embd]`
    /// - sums: `[batch, heads, seq]`
    /// - to: as `qkv`
    pub fn backward(&self, output: &[f32], gradient: &[f32], sums: &[f32], to: &mut [f32]) {
        let to = Output::new(to, 3 * self.embd());
        sums.par_chunks(self.seq).enumerate().with_max_len(1).for_each(|(number, sums)| {
            let attended = Attended {
                output: self.merged(number, output),
                gradient: self.merged(number, gradient),
                sums,
            };
            let first_row = number / self.heads * self.seq;
            let columns = [0, 1, 2].map(|part| self.columns(number, part));
            backward(self.head(number), attended, &to, first_row, columns);
        });
    }
}
