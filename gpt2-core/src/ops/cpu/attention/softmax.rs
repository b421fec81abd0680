//! Rows of scores become probabilities, and what is dropped of them.

use pulp::Simd;

use crate::ops::cpu::simd::exp;
use crate::ops::dropout::Mask;

/// Which probabilities of a head are dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    /// Of all probabilities, `[batch, head, queries, keys]`.
    pub mask: Mask,
    /// Place of the head's first probability among them.
    pub first: usize,
    /// Probabilities in a row.
    pub row: usize,
}

impl Dropout {
    /// Sets what is dropped of a query's row to 0 and scales the rest.
    #[inline(always)]
    pub(super) fn drop_from(&self, query: usize, row: &mut [f32]) {
        let first = (self.first + query * self.row) as u64;
        for (at, number) in row.iter_mut().enumerate() {
            *number *= self.mask.at(first + at as u64);
        }
    }
}

/// `e^(factor (score - highest score))` in place of every score; the sum of all, and the logarithm of
/// the sum of `e^(factor score)`.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, scores: &mut [f32], factor: f32) -> (f32, f32) {
    let (vectors, rest) = S::as_simd_f32s(scores);
    let mut highest = simd.splat_f32s(f32::MIN);
    for vector in vectors {
        highest = simd.max_f32s(highest, *vector);
    }
    let highest = rest.iter().copied().fold(simd.reduce_max_f32s(highest), f32::max);
    for score in scores.iter_mut() {
        *score = exp((*score - highest) * factor);
    }
    let (vectors, rest) = S::as_simd_f32s(scores);
    let mut sum = simd.splat_f32s(0.0);
    for vector in vectors {
        sum = simd.add_f32s(sum, *vector);
    }
    let sum = rest.iter().sum::<f32>() + simd.reduce_sum_f32s(sum);
    (sum, highest * factor + sum.ln())
}
