//! Layer normalization of rows.

use pulp::{Simd, WithSimd};

use super::memory::Buffer;
use super::parallel::{for_each_chunk, for_each_pair};
use super::simd::{run, sum_of};
use super::sums::columns;

/// Rows of which one task sums the gradients of the weights. The sums of all tasks are then added in their
/// order, so that the number of threads changes no bit.
const ROWS: usize = 32;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` of every row.
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Buffer {
    let width = weight.len();
    let mut output = Buffer::new(x.len());
    for_each_chunk(&mut output, width, |row, output| {
        run(Row { x: &x[row * width..][..width], weight, bias, epsilon, output });
    });
    output
}

/// Gradients of input, weight and bias; what the forward pass knew of a row is found again, which takes
/// less than to keep it.
pub(super) fn backward(
    upstream: &[f32],
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
) -> (Buffer, Buffer, Buffer) {
    let width = weight.len();
    let mut gradient = Buffer::new(x.len());
    let tasks = x.len().div_ceil(ROWS * width);
    let mut sums = Buffer::zeroed(tasks * 2 * width);
    for_each_pair(&mut gradient, ROWS * width, &mut sums, 2 * width, |task, gradient, sums| {
        let (by_weight, by_bias) = sums.split_at_mut(width);
        for (row, gradient) in gradient.chunks_mut(width).enumerate() {
            let first = (task * ROWS + row) * width;
            let (upstream, x) = (&upstream[first..][..width], &x[first..][..width]);
            run(RowBackward { upstream, x, weight, epsilon, gradient, by_weight, by_bias });
        }
    });
    let both = columns(&sums, 2 * width);
    let (mut by_weight, mut by_bias) = (Buffer::new(width), Buffer::new(width));
    by_weight.copy_from_slice(&both[..width]);
    by_bias.copy_from_slice(&both[width..]);
    (gradient, by_weight, by_bias)
}

/// Mean, and one over the standard deviation.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mean = sum_of(x, x, |x, _| x) * share;
    let variance = sum_of(x, x, |x, _| (x - mean) * (x - mean)) * share;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

struct Row<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let (mean, scale) = moments(self.x, self.epsilon);
        let weights = self.weight.iter().zip(self.bias);
        for ((output, x), (weight, bias)) in self.output.iter_mut().zip(self.x).zip(weights) {
            *output = (x - mean) * scale * weight + bias;
        }
    }
}

struct RowBackward<'a> {
    upstream: &'a [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    gradient: &'a mut [f32],
    by_weight: &'a mut [f32],
    by_bias: &'a mut [f32],
}

impl WithSimd for RowBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { upstream, x, weight, epsilon, gradient, by_weight, by_bias } = self;
        let (mean, scale) = moments(x, epsilon);
        let share = 1.0 / x.len() as f32;
        let rows = upstream.iter().zip(x).zip(weight);
        let sums = by_weight.iter_mut().zip(by_bias);
        for ((gradient, ((upstream, x), weight)), (by_weight, by_bias)) in
            gradient.iter_mut().zip(rows).zip(sums)
        {
            *by_weight += upstream * (x - mean) * scale;
            *by_bias += upstream;
            *gradient = upstream * weight;
        }
        let along_ones = sum_of(gradient, x, |gradient, _| gradient) * share;
        let along_x = sum_of(gradient, x, |gradient, x| gradient * (x - mean)) * scale * share;
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient = (*gradient - along_ones - (x - mean) * scale * along_x) * scale;
        }
    }
}
