//! Dropout, alone and with the sum that follows it.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::mask::{Dropout, Wide, argument, keep, keep_pair, place};
use super::tensors::{Sweep, element, output, sweep};
use crate::ops::dropout::Mask;

/// `x`, dropped by the mask.
pub(super) fn dropout(x: CubeTensor, mask: Mask) -> CubeTensor {
    let x = into_contiguous(x);
    let Sweep { width, vectors, count, dim } = sweep(&[&x], x.meta.num_elements());
    let (dropped, written) = output(&x, 0, x.dtype);
    dropout_kernel::launch(
        &dropped.client,
        count,
        dim,
        width,
        x.into_buffer_arg(),
        written,
        argument(mask),
        vectors,
        element(&dropped),
    );
    dropped
}

/// `dropout(x) + residual`, in the type of the residual.
pub(super) fn dropout_residual(x: CubeTensor, residual: CubeTensor, mask: Mask) -> CubeTensor {
    let [x, residual] = [x, residual].map(into_contiguous);
    let Sweep { width, vectors, count, dim } = sweep(&[&x, &residual], x.meta.num_elements());
    let (sum, written) = output(&residual, 1, residual.dtype);
    let types = [&x, &residual].map(element);
    dropout_residual_kernel::launch(
        &sum.client,
        count,
        dim,
        width,
        x.into_buffer_arg(),
        residual.into_buffer_arg(),
        written,
        argument(mask),
        vectors,
        types,
    );
    sum
}

/// What the mask leaves of vector number `at` of a tensor.
///
/// 0 is selected where an element is dropped, so that what is added to the product is not fused with it: a sum rounded
/// once would not be that of other devices.
#[cube]
pub(super) fn masked<N: Size>(x: Vector<f32, N>, mask: &Dropout, at: usize) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut factor = zero;
    let width = N::value();
    if comptime!(width == 1) {
        // Without a product by 1, for whose upper half CubeCL 0.11.3 takes the other factor instead of 0.
        let alone = Wide { low: at as u32, high: 0u32.runtime() };
        factor.insert(0usize, keep(mask, &alone));
    } else {
        #[unroll]
        for pair in 0..comptime!(width / 2) {
            let even = place(at as u32, width as u32, comptime!(2 * pair as u32));
            let (first, second) = keep_pair(mask, &even);
            factor.insert(comptime!(2 * pair), first);
            factor.insert(comptime!(2 * pair + 1), second);
        }
    }
    select_many(factor.equal(&zero), zero, x * factor)
}

#[cube(launch)]
fn dropout_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    dropped: &mut [Vector<F, N>],
    mask: Dropout,
    vectors: usize,
    #[define(F)] _type: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        dropped[at] = Vector::cast_from(masked::<N>(Vector::cast_from(x[at]), &mask, at));
    }
}

#[cube(launch)]
fn dropout_residual_kernel<F: Float, R: Float, N: Size>(
    x: &[Vector<F, N>],
    residual: &[Vector<R, N>],
    sum: &mut [Vector<R, N>],
    mask: Dropout,
    vectors: usize,
    #[define(F, R)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let dropped = masked::<N>(Vector::cast_from(x[at]), &mask, at);
        sum[at] = Vector::cast_from(dropped + Vector::cast_from(residual[at]));
    }
}
