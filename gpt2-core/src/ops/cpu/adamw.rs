//! What an optimizer does with all parameters, each in one pass over memory.
//!
//! A step of AdamW reads four numbers of every parameter and writes three; memory can do no less, and ordinary operations
//! go over it twenty times. There is little arithmetic in it, so plain loops are enough, which the compiler makes wide. The products and sums are
//! rounded one by one, as ordinary operations round them, so the results are the same to the last bit.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::run;
use crate::ops::AdamWUpdate;

/// Numbers that one thread takes at a time: as much of each array as the caches next to a core hold.
const CHUNK: usize = 1 << 14;

/// Sums of squares that grow side by side, whatever the width of the instructions, so that the sum is the same on all.
const LANES: usize = 64;
/// Numbers that are summed in f32 before they go to an f64: 16 in a lane.
const BLOCK: usize = 16 * LANES;

/// Changes weights, mean and mean of squares where they lie; see [`crate::ops::adamw`].
pub(super) fn adamw(
    value: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
    gradient: &[f32],
    update: &AdamWUpdate,
) {
    let constants = Constants::new(update);
    if value.len() <= CHUNK {
        return run(AdamW { value, mean, square, gradient, constants });
    }
    let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
    value.par_chunks_mut(CHUNK).zip(moments).zip(gradient.par_chunks(CHUNK)).for_each(
        |((value, (mean, square)), gradient)| {
            run(AdamW { value, mean, square, gradient, constants });
        },
    );
}

/// [`AdamWUpdate`], rounded.
#[derive(Clone, Copy)]
struct Constants {
    gradient_factor: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    root_factor: f32,
    epsilon: f32,
    rate: f32,
    decay: f32,
}

impl Constants {
    fn new(update: &AdamWUpdate) -> Self {
        Self {
            gradient_factor: update.gradient_factor as f32,
            beta1: update.beta1 as f32,
            beta2: update.beta2 as f32,
            rest1: (1.0 - update.beta1) as f32,
            rest2: (1.0 - update.beta2) as f32,
            root_factor: update.root_factor as f32,
            epsilon: update.epsilon as f32,
            rate: update.rate as f32,
            decay: update.decay as f32,
        }
    }
}

struct AdamW<'a> {
    value: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
    gradient: &'a [f32],
    constants: Constants,
}

impl WithSimd for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let c = self.constants;
        let len = self.value.len();
        // Equal lengths, told in a way that makes the bounds checks go away.
        let (mean, square) = (&mut self.mean[..len], &mut self.square[..len]);
        let gradient = &self.gradient[..len];
        for at in 0..len {
            let g = gradient[at] * c.gradient_factor;
            mean[at] = mean[at] * c.beta1 + g * c.rest1;
            square[at] = square[at] * c.beta2 + g * g * c.rest2;
            let root = square[at].sqrt() * c.root_factor + c.epsilon;
            self.value[at] = self.value[at] * c.decay - mean[at] / root * c.rate;
        }
    }
}

/// Sum of squares, in chunks that do not depend on the number of threads, whose sums are added in their order.
pub(super) fn squared_norm(x: &[f32]) -> f64 {
    if x.len() <= CHUNK {
        return run(SquaredNorm { x });
    }
    x.par_chunks(CHUNK).map(|x| run(SquaredNorm { x })).collect::<Vec<f64>>().iter().sum()
}

struct SquaredNorm<'a> {
    x: &'a [f32],
}

impl WithSimd for SquaredNorm<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f64 {
        let mut totals = [0.0_f64; LANES];
        for block in self.x.chunks(BLOCK) {
            let mut sums = [0.0_f32; LANES];
            let mut rows = block.chunks_exact(LANES);
            for row in &mut rows {
                for lane in 0..LANES {
                    sums[lane] += row[lane] * row[lane];
                }
            }
            for (sum, x) in sums.iter_mut().zip(rows.remainder()) {
                *sum += x * x;
            }
            for lane in 0..LANES {
                totals[lane] += f64::from(sums[lane]);
            }
        }
        totals.iter().sum()
    }
}

/// `sum += factor * part`.
pub(super) fn add_scaled(sum: &mut [f32], part: &[f32], factor: f32) {
    sum.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(sum, part)| {
        run(AddScaled { sum, part, factor });
    });
}

struct AddScaled<'a> {
    sum: &'a mut [f32],
    part: &'a [f32],
    factor: f32,
}

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (sum, part) in self.sum.iter_mut().zip(self.part) {
            *sum += part * self.factor;
        }
    }
}
