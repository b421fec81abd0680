//! The tanh approximation of GELU in one pass over memory.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{exp, run};

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 13;

/// `x / (1 + exp(-x (slope + cubic x^2)))` of every element, in place.
pub(super) fn sigmoid_weighted(x: &mut [f32], slope: f32, cubic: f32) {
    if x.len() <= CHUNK {
        return run(SigmoidWeighted { x, slope, cubic });
    }
    x.par_chunks_mut(CHUNK).for_each(|x| run(SigmoidWeighted { x, slope, cubic }));
}

struct SigmoidWeighted<'a> {
    x: &'a mut [f32],
    slope: f32,
    cubic: f32,
}

impl WithSimd for SigmoidWeighted<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for x in self.x {
            let exponent = -*x * (self.slope + self.cubic * *x * *x);
            // Where the exponential is beyond all numbers, nothing is left.
            *x = if exponent > 87.0 { 0.0 } else { *x / (1.0 + exp(exponent)) };
        }
    }
}
