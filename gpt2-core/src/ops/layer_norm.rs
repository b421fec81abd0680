//! Layer normalization.

use burn::backend::Dispatch;
use burn::tensor::{Tensor, module};

use super::fused::{self, FusedOps};

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis (Ba et al. 2016).
///
/// # Shapes
/// - x, output: `[.., embd]`
/// - weight, bias: `[embd]`
#[must_use]
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    if fused::is_ours(&x) && fused::is_ours(&weight) {
        let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
        let output =
            <Dispatch as FusedOps>::fused_layer_norm(x.into_dispatch(), weight, bias, epsilon);
        return Tensor::from_dispatch(output);
    }
    by_parts(x, weight, bias, epsilon)
}

/// Burn's own.
#[must_use]
pub fn by_parts<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    module::layer_norm(x, weight, Some(bias), epsilon)
}
