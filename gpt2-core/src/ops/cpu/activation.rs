//! The tanh approximation of GELU in one pass over memory.

use pulp::{Simd, WithSimd};

use super::memory::Buffer;
use super::parallel::for_each_chunk;
use super::simd::{exp, run};
use crate::ops::activation::{CUBIC, TWICE_SLOPE};

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 13;
/// An exponent beyond which a number and its successor are one.
const MOST: f32 = 87.0;

const SLOPE: f32 = TWICE_SLOPE as f32;
const THIRD: f32 = (TWICE_SLOPE * CUBIC) as f32;

/// `gelu(x)` of every element.
pub(super) fn gelu(x: &[f32]) -> Buffer {
    let mut output = Buffer::new(x.len());
    for_each_chunk(&mut output, CHUNK, |chunk, output| {
        let first = chunk * CHUNK;
        let count = output.len();
        output.copy_from_slice(&x[first..first + count]);
        run(Gelu(output));
    });
    output
}

/// As [`gelu`], over the numbers themselves.
pub(super) fn gelu_in_place(x: &mut [f32]) {
    for_each_chunk(x, CHUNK, |_, x| run(Gelu(x)));
}

/// As [`gelu_in_place`], of a piece that is a thread's own.
pub(super) fn gelu_of_piece(x: &mut [f32]) {
    run(Gelu(x));
}

/// Multiplies every element of `gradient` by the derivative of GELU at the element of `x`.
pub(super) fn gelu_backward(gradient: &mut [f32], x: &[f32]) {
    for_each_chunk(gradient, CHUNK, |chunk, gradient| {
        let x = &x[chunk * CHUNK..][..gradient.len()];
        run(GeluBackward { gradient, x });
    });
}

/// As [`gelu_backward`], of a piece that is a thread's own.
pub(super) fn gelu_backward_of_piece(gradient: &mut [f32], x: &[f32]) {
    run(GeluBackward { gradient, x });
}

/// `x sigmoid(x (SLOPE + THIRD x^2))`, which is the tanh form.
struct Gelu<'a>(&'a mut [f32]);

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for x in self.0 {
            let exponent = -*x * (SLOPE + THIRD * *x * *x);
            // Where the exponential is beyond all numbers, nothing is left.
            *x = if exponent > MOST { 0.0 } else { *x / (1.0 + exp(exponent)) };
        }
    }
}

struct GeluBackward<'a> {
    gradient: &'a mut [f32],
    x: &'a [f32],
}

impl WithSimd for GeluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (gradient, &x) in self.gradient.iter_mut().zip(self.x) {
            let square = x * x;
            let exponent = -x * (SLOPE + THIRD * square);
            let sigmoid = 1.0 / (1.0 + exp(exponent));
            let slope = sigmoid * (1.0 + x * (1.0 - sigmoid) * (SLOPE + 3.0 * THIRD * square));
            // At the ends the factors overflow, and the slope is 0 or 1.
            let slope = if exponent > MOST { 0.0 } else { slope };
            let slope = if exponent < -MOST { 1.0 } else { slope };
            *gradient *= slope;
        }
    }
}
