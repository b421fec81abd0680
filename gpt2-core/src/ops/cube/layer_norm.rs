//! Layer normalization and its way back: one cube a row, the row in registers.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::bias::sum_of_rows;
use super::lanes::{Lanes, sum_of_lanes};
use super::tensors::{cubes, element, empty, matrix, output, vector_size};

/// Parts that the rows of the way back are divided in at most. The sums of each are added in a second launch: more
/// parts would cost that more, and fewer would leave processors of a large GPU without work.
const PARTS: usize = 1024;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis, in the type of `x`.
pub(super) fn layer_norm(
    x: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    epsilon: f64,
) -> CubeTensor {
    let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
    let [rows, columns] = matrix(&x);
    let width = vector_size(&[&x, &weight], columns);
    let lanes = Lanes::new(&x.client, columns, width);
    let (output, written) = output(&x, 0, x.dtype);
    layer_norm_kernel::launch(
        &output.client,
        cubes(&output.client, rows),
        lanes.dim(),
        width,
        x.clone().into_buffer_arg(),
        weight.clone().into_buffer_arg(),
        bias.into_buffer_arg(),
        written,
        rows,
        columns,
        epsilon as f32,
        lanes.held,
        lanes.count,
        lanes.plane,
        [element(&x), element(&weight)],
    );
    output
}

/// Gradients by `x` (in its type), weight and bias (in the type of the weight) of [`layer_norm`].
///
/// Mean and variance are computed again: they cost a pass over registers, and kept ones would be two more tensors.
/// The sums over rows are those of groups of rows, added in a fixed order.
pub(super) fn layer_norm_backward(
    upstream: CubeTensor,
    x: CubeTensor,
    weight: CubeTensor,
    epsilon: f64,
) -> [CubeTensor; 3] {
    let [upstream, x, weight] = [upstream, x, weight].map(into_contiguous);
    let [rows, columns] = matrix(&x);
    let width = vector_size(&[&upstream, &x, &weight], columns);
    let lanes = Lanes::new(&x.client, columns, width);
    let rows_of_part = rows.div_ceil(PARTS).max(1);
    let parts = rows.div_ceil(rows_of_part);
    let (by_x, written) = output(&upstream, 0, x.dtype);
    let [by_weight, by_bias] = [(); 2].map(|()| empty(&x, [parts, columns], DType::F32));
    layer_norm_backward_kernel::launch(
        &x.client,
        cubes(&x.client, parts),
        lanes.dim(),
        width,
        upstream.clone().into_buffer_arg(),
        x.clone().into_buffer_arg(),
        weight.clone().into_buffer_arg(),
        written,
        by_weight.clone().into_buffer_arg(),
        by_bias.clone().into_buffer_arg(),
        rows,
        rows_of_part,
        columns,
        epsilon as f32,
        lanes.held,
        lanes.count,
        lanes.plane,
        [element(&upstream), element(&x), element(&weight)],
    );
    let [by_weight, by_bias] = [by_weight, by_bias].map(|sums| sum_of_rows(sums, weight.dtype));
    [by_x, by_weight, by_bias]
}

/// Reads a unit's part of the row that begins at `first`, with zeros behind its end.
#[cube]
fn read<F: Float, N: Size>(
    row: &mut Array<Vector<f32, N>>,
    from: &[Vector<F, N>],
    first: usize,
    vectors: usize,
    #[comptime] held: usize,
    #[comptime] lanes: u32,
) {
    #[unroll(held <= 16)]
    for at in 0..held {
        let column = at * comptime!(lanes as usize) + UNIT_POS as usize;
        row[at] = Vector::new(0.0f32);
        if column < vectors {
            row[at] = Vector::cast_from(from[first + column]);
        }
    }
}

/// Subtracts the mean from a row, and gives `1 / sqrt(variance + epsilon)`.
///
/// In two passes over registers: a variance by squares alone is lost where the mean is far from 0.
#[cube]
fn center<N: Size>(
    row: &mut Array<Vector<f32, N>>,
    scratch: &mut Shared<[f32]>,
    columns: usize,
    epsilon: f32,
    #[comptime] held: usize,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
) -> f32 {
    let vectors = columns / N::value();
    let mut sum = Vector::<f32, N>::new(0.0f32);
    #[unroll(held <= 16)]
    for at in 0..held {
        sum += row[at];
    }
    let columns = f32::cast_from(columns as u32);
    let mean = sum_of_lanes(sum.vector_sum(), scratch, lanes, plane) / columns;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    #[unroll(held <= 16)]
    for at in 0..held {
        if at * comptime!(lanes as usize) + (UNIT_POS as usize) < vectors {
            let deviation = row[at] - Vector::new(mean);
            row[at] = deviation;
            squares += deviation * deviation;
        }
    }
    let variance = sum_of_lanes(squares.vector_sum(), scratch, lanes, plane) / columns;
    1.0f32 / f32::sqrt(variance + epsilon)
}

#[cube(launch)]
fn layer_norm_kernel<F: Float, W: Float, N: Size>(
    x: &[Vector<F, N>],
    weight: &[Vector<W, N>],
    bias: &[Vector<W, N>],
    output: &mut [Vector<F, N>],
    rows: usize,
    columns: usize,
    epsilon: f32,
    #[comptime] held: usize,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
    #[define(F, W)] _types: [ElemType; 2],
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let vectors = columns / N::value();
    let first = CUBE_POS * vectors;
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let mut row = Array::<Vector<f32, N>>::new(held);
    read::<F, N>(&mut row, x, first, vectors, held, lanes);
    let factor = center::<N>(&mut row, &mut scratch, columns, epsilon, held, lanes, plane);
    #[unroll(held <= 16)]
    for at in 0..held {
        let column = at * comptime!(lanes as usize) + UNIT_POS as usize;
        if column < vectors {
            let scaled = row[at] * Vector::new(factor) * Vector::cast_from(weight[column]);
            output[first + column] =
                Vector::cast_from(scaled + Vector::<f32, N>::cast_from(bias[column]));
        }
    }
}

/// A cube goes through a part of the rows, one after the other, and keeps their sums in registers.
///
/// With `u = upstream * weight` and `n` the normalized row the gradient is `(u - mean(u) - n mean(u n)) / deviation`.
#[cube(launch)]
fn layer_norm_backward_kernel<U: Float, F: Float, W: Float, N: Size>(
    upstream: &[Vector<U, N>],
    x: &[Vector<F, N>],
    weight: &[Vector<W, N>],
    by_x: &mut [Vector<F, N>],
    by_weight: &mut [Vector<f32, N>],
    by_bias: &mut [Vector<f32, N>],
    rows: usize,
    rows_of_part: usize,
    columns: usize,
    epsilon: f32,
    #[comptime] held: usize,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
    #[define(U, F, W)] _types: [ElemType; 3],
) {
    let begin = CUBE_POS * rows_of_part;
    if begin >= rows {
        terminate!();
    }
    let end = (begin + rows_of_part).min(rows);
    let vectors = columns / N::value();
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let mut row = Array::<Vector<f32, N>>::new(held);
    let mut gradient = Array::<Vector<f32, N>>::new(held);
    let mut weight_sums = Array::<Vector<f32, N>>::new(held);
    let mut bias_sums = Array::<Vector<f32, N>>::new(held);
    #[unroll(held <= 16)]
    for at in 0..held {
        weight_sums[at] = zero;
        bias_sums[at] = zero;
    }
    for place in begin..end {
        let first = place * vectors;
        read::<F, N>(&mut row, x, first, vectors, held, lanes);
        read::<U, N>(&mut gradient, upstream, first, vectors, held, lanes);
        let factor = center::<N>(&mut row, &mut scratch, columns, epsilon, held, lanes, plane);
        let mut sum = zero;
        let mut product = zero;
        #[unroll(held <= 16)]
        for at in 0..held {
            let column = at * comptime!(lanes as usize) + UNIT_POS as usize;
            if column < vectors {
                let normalized = row[at] * Vector::new(factor);
                weight_sums[at] += gradient[at] * normalized;
                bias_sums[at] += gradient[at];
                let scaled = gradient[at] * Vector::cast_from(weight[column]);
                sum += scaled;
                product += scaled * normalized;
                row[at] = normalized;
                gradient[at] = scaled;
            }
        }
        let count = f32::cast_from(columns as u32);
        let mean = sum_of_lanes(sum.vector_sum(), &mut scratch, lanes, plane) / count;
        let slope = sum_of_lanes(product.vector_sum(), &mut scratch, lanes, plane) / count;
        #[unroll(held <= 16)]
        for at in 0..held {
            let column = at * comptime!(lanes as usize) + UNIT_POS as usize;
            if column < vectors {
                let apart = gradient[at] - Vector::new(mean) - row[at] * Vector::new(slope);
                by_x[first + column] = Vector::cast_from(apart * Vector::new(factor));
            }
        }
    }
    let first = CUBE_POS * vectors;
    #[unroll(held <= 16)]
    for at in 0..held {
        let column = at * comptime!(lanes as usize) + UNIT_POS as usize;
        if column < vectors {
            by_weight[first + column] = weight_sums[at];
            by_bias[first + column] = bias_sums[at];
        }
    }
}
