//! Biases: adding one with what stands around it, and the gradient of one.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

use super::activation::gelu_of;
use super::dropout::masked;
use super::mask::{Dropout, argument};
use super::tensors::{Sweep, cubes, element, empty, matrix, output, sweep, vector_size};
use crate::ops::dropout::Mask;

/// Units of a cube of [`sum_of_rows_kernel`] along the columns, and along the rows.
const WIDTH: u32 = 32;
const HEIGHT: u32 = 8;
/// Rows that a cube adds at least, and parts of the rows at most.
const ROWS: usize = 64;
const PARTS: usize = 256;

/// `product + bias`, in the type of the product.
pub(super) fn add_bias(product: CubeTensor, bias: CubeTensor) -> CubeTensor {
    after_bias(product, bias, After::Nothing)
}

/// `gelu(product + bias)`, in the type of the product.
pub(super) fn bias_gelu(product: CubeTensor, bias: CubeTensor) -> CubeTensor {
    after_bias(product, bias, After::Gelu)
}

/// What is done to a product with its bias; a constant of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum After {
    Nothing,
    Gelu,
}

fn after_bias(product: CubeTensor, bias: CubeTensor, after: After) -> CubeTensor {
    let [product, bias] = [product, bias].map(into_contiguous);
    let [_, columns] = matrix(&product);
    let Sweep { width, vectors, count, dim } = sweep(&[&product, &bias], columns);
    let (output, written) = output(&product, 0, product.dtype);
    let types = [&product, &bias].map(element);
    add_bias_kernel::launch(
        &output.client,
        count,
        dim,
        width,
        product.into_buffer_arg(),
        bias.into_buffer_arg(),
        written,
        vectors,
        columns / width,
        after,
        types,
    );
    output
}

/// `product + bias + residual`, in the type of the residual.
pub(super) fn add_bias_residual(
    product: CubeTensor,
    bias: CubeTensor,
    residual: CubeTensor,
) -> CubeTensor {
    join(product, bias, None, residual)
}

/// `dropout(product + bias) + residual`, in the type of the residual.
pub(super) fn add_bias_dropout_residual(
    product: CubeTensor,
    bias: CubeTensor,
    mask: Mask,
    residual: CubeTensor,
) -> CubeTensor {
    join(product, bias, Some(mask), residual)
}

fn join(
    product: CubeTensor,
    bias: CubeTensor,
    mask: Option<Mask>,
    residual: CubeTensor,
) -> CubeTensor {
    let [product, bias, residual] = [product, bias, residual].map(into_contiguous);
    let [_, columns] = matrix(&product);
    let Sweep { width, vectors, count, dim } = sweep(&[&product, &bias, &residual], columns);
    let (output, written) = output(&residual, 2, residual.dtype);
    let types = [&product, &bias, &residual].map(element);
    add_bias_residual_kernel::launch(
        &output.client,
        count,
        dim,
        width,
        product.into_buffer_arg(),
        bias.into_buffer_arg(),
        residual.into_buffer_arg(),
        written,
        mask.map(argument).into(),
        vectors,
        columns / width,
        types,
    );
    output
}

/// Sums over all axes but the last, `[columns]`: the gradient of a bias.
pub(super) fn column_sums(x: CubeTensor, out_dtype: DType) -> CubeTensor {
    sum_of_rows(into_contiguous(x), out_dtype)
}

/// As [`column_sums`], of a contiguous tensor.
///
/// Parts of the rows are added by a cube each, and then their sums by the same kernel: the order depends on the shape
/// alone.
pub(super) fn sum_of_rows(x: CubeTensor, out_dtype: DType) -> CubeTensor {
    let [rows, columns] = matrix(&x);
    let rows_of_part = rows.div_ceil(PARTS).max(ROWS);
    if rows <= rows_of_part {
        let output = empty(&x, [columns], out_dtype);
        sum_parts(x, rows_of_part, &output);
        return output;
    }
    let sums = empty(&x, [rows.div_ceil(rows_of_part), columns], DType::F32);
    sum_parts(x, rows_of_part, &sums);
    let output = empty(&sums, [columns], out_dtype);
    sum_parts(sums, PARTS, &output);
    output
}

/// Writes the sum of every `rows_of_part` rows into a row of the output.
fn sum_parts(x: CubeTensor, rows_of_part: usize, output: &CubeTensor) {
    let [rows, columns] = matrix(&x);
    let width = vector_size(&[&x, output], columns);
    let vectors = columns / width;
    let count = rows.div_ceil(rows_of_part) * vectors.div_ceil(WIDTH as usize);
    let types = [&x, output].map(element);
    sum_of_rows_kernel::launch(
        &output.client,
        cubes(&output.client, count),
        CubeDim::new_2d(WIDTH, HEIGHT),
        width,
        x.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        rows,
        vectors,
        rows_of_part,
        types,
    );
}

#[cube(launch)]
fn add_bias_kernel<F: Float, W: Float, N: Size>(
    product: &[Vector<F, N>],
    bias: &[Vector<W, N>],
    output: &mut [Vector<F, N>],
    vectors: usize,
    columns: FastDivmod<usize>,
    #[comptime] after: After,
    #[define(F, W)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let sum = Vector::<f32, N>::cast_from(product[at])
            + Vector::<f32, N>::cast_from(bias[columns.modulo(at)]);
        if comptime!(after == After::Gelu) {
            output[at] = Vector::cast_from(gelu_of::<N>(sum));
        } else {
            output[at] = Vector::cast_from(sum);
        }
    }
}

#[cube(launch)]
fn add_bias_residual_kernel<F: Float, W: Float, R: Float, N: Size>(
    product: &[Vector<F, N>],
    bias: &[Vector<W, N>],
    residual: &[Vector<R, N>],
    output: &mut [Vector<R, N>],
    mask: ComptimeOption<Dropout>,
    vectors: usize,
    columns: FastDivmod<usize>,
    #[define(F, W, R)] _types: [ElemType; 3],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let mut sum = Vector::<f32, N>::cast_from(product[at])
            + Vector::<f32, N>::cast_from(bias[columns.modulo(at)]);
        #[comptime]
        if let ComptimeOption::Some(mask) = mask {
            sum = masked::<N>(sum, &mask, at);
        }
        output[at] = Vector::cast_from(sum + Vector::<f32, N>::cast_from(residual[at]));
    }
}

#[cube(launch)]
fn sum_of_rows_kernel<F: Float, O: Float, N: Size>(
    x: &[Vector<F, N>],
    output: &mut [Vector<O, N>],
    rows: usize,
    vectors: usize,
    rows_of_part: usize,
    #[define(F, O)] _types: [ElemType; 2],
) {
    let width = comptime!(WIDTH as usize);
    let blocks = vectors.div_ceil(width);
    let part = CUBE_POS / blocks;
    if part * rows_of_part >= rows {
        terminate!();
    }
    let column = CUBE_POS % blocks * width + UNIT_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if column < vectors {
        let end = (part * rows_of_part + rows_of_part).min(rows);
        let mut row = part * rows_of_part + UNIT_POS_Y as usize;
        while row < end {
            sum += Vector::cast_from(x[row * vectors + column]);
            row += comptime!(HEIGHT as usize);
        }
    }
    let mut scratch = Shared::<[Vector<f32, N>]>::new_slice(comptime!((WIDTH * HEIGHT) as usize));
    let unit = UNIT_POS as usize;
    scratch[unit] = sum;
    sync_cube();
    let steps = comptime!(HEIGHT.ilog2());
    #[unroll]
    for step in 0..steps {
        let half = comptime!((HEIGHT >> (step + 1)) as usize * WIDTH as usize);
        if unit < half {
            let other = scratch[unit + half];
            scratch[unit] += other;
        }
        sync_cube();
    }
    if UNIT_POS_Y == 0 && column < vectors {
        output[part * vectors + column] = Vector::cast_from(scratch[unit]);
    }
}
