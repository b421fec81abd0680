//! Dropout whose mask is never in memory.

use pulp::{Simd, WithSimd};

use super::memory::Buffer;
use super::parallel::for_each_chunk;
use super::simd::run;
use crate::ops::dropout::Mask;

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 13;
/// Numbers of the mask that exist at a time.
const PART: usize = 256;

/// `x * mask`, or `x * mask + residual`.
pub(super) fn dropout(x: &[f32], residual: Option<&[f32]>, mask: Mask) -> Buffer {
    let mut output = Buffer::new(x.len());
    for_each_chunk(&mut output, CHUNK, |chunk, output| {
        let range = chunk * CHUNK..chunk * CHUNK + output.len();
        let residual = residual.map(|residual| &residual[range.clone()]);
        run(Dropout { x: &x[range.clone()], residual, mask, first: range.start, output });
    });
    output
}

struct Dropout<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    mask: Mask,
    first: usize,
    output: &'a mut [f32],
}

impl WithSimd for Dropout<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, residual, mask, first, output } = self;
        let mut factors = [0.0; PART];
        for (part, (output, x)) in output.chunks_mut(PART).zip(x.chunks(PART)).enumerate() {
            mask.fill(first + part * PART, &mut factors);
            for ((output, x), factor) in output.iter_mut().zip(x).zip(&factors) {
                *output = x * factor;
            }
            if let Some(residual) = residual {
                for (output, residual) in output.iter_mut().zip(&residual[part * PART..]) {
                    *output += residual;
                }
            }
        }
    }
}
