//! Rows of scores become probabilities, and what is dropped of them.

use pulp::Simd;

use crate::ops::cpu::simd::exp;
use crate::ops::dropout::hash;

/// Which probabilities are dropped: those of `ops::dropout` on `[batch, head, queries, keys]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    key: u64,
    /// Below it, 32 random bits drop.
    threshold: u32,
    /// Factor on what is kept.
    scale: f32,
    /// Number of the head's first probability among all.
    first: u64,
    /// Probabilities in a row.
    row: u64,
}

impl Dropout {
    pub fn new(key: u64, p: f64, first: usize, row: usize) -> Self {
        Self {
            key,
            threshold: (p * 2f64.powi(32)) as u32,
            scale: (1.0 / (1.0 - p)) as f32,
            first: first as u64,
            row: row as u64,
        }
    }

    /// Sets what is dropped of a query's row to 0 and scales the rest.
    #[inline(always)]
    pub(super) fn drop_from(&self, query: usize, row: &mut [f32]) {
        let first = self.first + query as u64 * self.row;
        for (at, number) in row.iter_mut().enumerate() {
            let element = first + at as u64;
            let bits = hash(self.key.wrapping_add(element / 2)) >> (32 * (element % 2));
            *number *= if bits as u32 >= self.threshold { self.scale } else { 0.0 };
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
