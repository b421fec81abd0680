//! Matrix products with weights.

use burn::backend::Dispatch;
use burn::tensor::{Tensor, module};

use super::activation::activate;
use super::fused::{self, FusedOps};
use crate::config::Activation;

/// `x @ weight + bias`, in the element type of the weight.
///
/// # Shapes
/// - x: `[.., in]`
/// - weight: `[in, out]`
/// - bias: `[out]`
/// - output: `[.., out]`
#[must_use]
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    if fused::is_ours(&x) && fused::is_ours(&weight) {
        let x = x.cast(weight.dtype()).into_dispatch();
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        let output = <Dispatch as FusedOps>::fused_linear(x, weight, bias);
        return Tensor::from_dispatch(output);
    }
    by_parts(x, weight, bias)
}

/// Burn's own.
#[must_use]
pub fn by_parts<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    module::linear(x.cast(weight.dtype()), weight, Some(bias))
}

/// `x @ weight + bias + residual`; the sum is in the element type of the residual.
///
/// # Shapes
/// As [`linear`]; residual: `[.., out]`
#[must_use]
pub fn linear_residual<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<D>,
) -> Tensor<D> {
    if fused::is_ours(&x) && fused::is_ours(&weight) && fused::is_ours(&residual) {
        let x = x.cast(weight.dtype());
        let [x, residual] = [x, residual].map(Tensor::into_dispatch);
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        let output = <Dispatch as FusedOps>::linear_residual(x, weight, bias, residual);
        return Tensor::from_dispatch(output);
    }
    let dtype = residual.dtype();
    by_parts(x, weight, bias).cast(dtype) + residual
}

/// `activation(x @ weight + bias)`.
///
/// # Shapes
/// As [`linear`].
#[must_use]
pub fn linear_activated<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    function: Activation,
) -> Tensor<D> {
    if function.is_gelu_tanh() && fused::is_ours(&x) && fused::is_ours(&weight) {
        let x = x.cast(weight.dtype()).into_dispatch();
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        let output = <Dispatch as FusedOps>::linear_gelu(x, weight, bias);
        return Tensor::from_dispatch(output);
    }
    activate(linear(x, weight, bias), function)
}

/// `x @ table^T`: a score of each row for each vector of a table, in the element type of the table.
///
/// # Shapes
/// - x: `[.., embd]`
/// - table: `[vocab, embd]`
/// - output: `[.., vocab]`
#[must_use]
pub fn scores<const D: usize>(x: Tensor<D>, table: Tensor<2>) -> Tensor<D> {
    if fused::is_ours(&x) && fused::is_ours(&table) {
        let x = x.cast(table.dtype()).into_dispatch();
        let output = <Dispatch as FusedOps>::scores(x, table.into_dispatch());
        return Tensor::from_dispatch(output);
    }
    scores_by_parts(x, table)
}

/// A product with the transposed table.
#[must_use]
pub fn scores_by_parts<const D: usize>(x: Tensor<D>, table: Tensor<2>) -> Tensor<D> {
    let [vocab, embd] = table.dims();
    let mut shape = x.dims();
    let rows = shape[..D - 1].iter().product::<usize>();
    shape[D - 1] = vocab;
    // Two axes on either side: with more, the transposed table would be copied for each call.
    x.cast(table.dtype()).reshape([rows, embd]).matmul(table.transpose()).reshape(shape)
}
