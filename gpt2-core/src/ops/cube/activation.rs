//! GELU of the tanh form, alone, behind a bias that is kept, and its way back.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

use super::tensors::{Sweep, element, empty, matrix, output, owned, sweep};
use crate::ops::activation::{CUBIC, TWICE_SLOPE};

/// The sigmoid's argument from which on its exponential is no number of 32 bits, or close to that.
const EDGE: f32 = 80.0;

/// `gelu(x)`.
pub(super) fn gelu(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let Sweep { width, vectors, count, dim } = sweep(&[&x], x.meta.num_elements());
    let (activated, written) = output(&x, 0, x.dtype);
    let of_x = element(&x);
    gelu_kernel::launch(
        &activated.client,
        count,
        dim,
        width,
        x.into_buffer_arg(),
        written,
        vectors,
        of_x,
    );
    activated
}

/// `upstream` times the derivative of [`gelu`] at `x`, in the type of `upstream`.
pub(super) fn gelu_backward(upstream: CubeTensor, x: CubeTensor) -> CubeTensor {
    let [upstream, x] = [upstream, x].map(into_contiguous);
    let Sweep { width, vectors, count, dim } = sweep(&[&upstream, &x], x.meta.num_elements());
    let (gradient, written) = output(&upstream, 0, upstream.dtype);
    let types = [&upstream, &x].map(element);
    gelu_backward_kernel::launch(
        &gradient.client,
        count,
        dim,
        width,
        upstream.into_buffer_arg(),
        x.into_buffer_arg(),
        written,
        vectors,
        types,
    );
    gradient
}

/// `product + bias`, where the product lies if it has no other owner, and `gelu` of it.
pub(super) fn bias_gelu_with_input(
    product: CubeTensor,
    bias: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let (inner, bias) = (owned(product), into_contiguous(bias));
    let [_, columns] = matrix(&inner);
    let Sweep { width, vectors, count, dim } = sweep(&[&inner, &bias], columns);
    let activated = empty(&inner, inner.meta.shape().clone(), inner.dtype);
    let types = [&inner, &bias].map(element);
    bias_gelu_with_input_kernel::launch(
        &inner.client,
        count,
        dim,
        width,
        inner.clone().into_buffer_arg(),
        bias.into_buffer_arg(),
        activated.clone().into_buffer_arg(),
        vectors,
        columns / width,
        types,
    );
    (inner, activated)
}

/// `sigmoid(twice)`, 0 below `-EDGE`: what an exponential gives beyond the largest number is not the same everywhere.
#[cube]
fn sigmoid<N: Size>(twice: Vector<f32, N>) -> Vector<f32, N> {
    let edge = Vector::<f32, N>::new(EDGE);
    let one = Vector::<f32, N>::new(1.0f32);
    let inside = twice.clamp(-edge, edge);
    let value = one / (one + Vector::exp(-inside));
    select_many(twice.less_than(&-edge), Vector::new(0.0f32), value)
}

/// `x * sigmoid(2 u)` with `2 u = 2 sqrt(2 / pi) (x + 0.044715 x^3)`, which is `x / 2 (1 + tanh(u))`.
#[cube]
pub(super) fn gelu_of<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let slope = Vector::<f32, N>::new(comptime!(TWICE_SLOPE as f32));
    let cubic = Vector::<f32, N>::new(comptime!((TWICE_SLOPE * CUBIC) as f32));
    x * sigmoid::<N>((x * x * cubic + slope) * x)
}

/// The derivative: `s + x s (1 - s) (2 u)'` with the sigmoid `s`.
///
/// Far from 0 it is 0 or 1 whatever `(2 u)'` is, which is therefore that of an `x` whose square is a number.
#[cube]
fn slope_of<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let edge = Vector::<f32, N>::new(EDGE);
    let slope = Vector::<f32, N>::new(comptime!(TWICE_SLOPE as f32));
    let cubic = Vector::<f32, N>::new(comptime!((TWICE_SLOPE * CUBIC) as f32));
    let near = x.clamp(-edge, edge);
    let square = near * near * cubic;
    let sigmoid = sigmoid::<N>((square + slope) * near);
    let steepness = square * Vector::new(3.0f32) + slope;
    sigmoid + near * steepness * sigmoid * (Vector::new(1.0f32) - sigmoid)
}

#[cube(launch)]
fn gelu_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    activated: &mut [Vector<F, N>],
    vectors: usize,
    #[define(F)] _type: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        activated[at] = Vector::cast_from(gelu_of::<N>(Vector::cast_from(x[at])));
    }
}

#[cube(launch)]
fn gelu_backward_kernel<U: Float, F: Float, N: Size>(
    upstream: &[Vector<U, N>],
    x: &[Vector<F, N>],
    gradient: &mut [Vector<U, N>],
    vectors: usize,
    #[define(U, F)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let slope = slope_of::<N>(Vector::cast_from(x[at]));
        gradient[at] = Vector::cast_from(Vector::<f32, N>::cast_from(upstream[at]) * slope);
    }
}

/// `inner` is the product on entry. What is activated is the sum before it is rounded to the type of the product.
#[cube(launch)]
fn bias_gelu_with_input_kernel<F: Float, W: Float, N: Size>(
    inner: &mut [Vector<F, N>],
    bias: &[Vector<W, N>],
    activated: &mut [Vector<F, N>],
    vectors: usize,
    columns: FastDivmod<usize>,
    #[define(F, W)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let sum = Vector::<f32, N>::cast_from(inner[at])
            + Vector::<f32, N>::cast_from(bias[columns.modulo(at)]);
        inner[at] = Vector::cast_from(sum);
        activated[at] = Vector::cast_from(gelu_of::<N>(sum));
    }
}
