//! The position-wise MLP with what follows it.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::activation::activate;
use super::dropout::Mask;
use super::dropout::{DropoutMasks, dropout_residual};
use super::fused::{self, FusedOps};
use super::linear;
use crate::config::Activation;

/// Weights of the two linear layers of an MLP.
#[derive(Debug, Clone)]
pub struct MlpWeights {
    /// `[embd, inner]`.
    pub c_fc: Tensor<2>,
    /// `[inner]`.
    pub c_fc_bias: Tensor<1>,
    /// `[inner, embd]`.
    pub c_proj: Tensor<2>,
    /// `[embd]`.
    pub c_proj_bias: Tensor<1>,
}

/// `dropout(activation(x @ c_fc + c_fc_bias) @ c_proj + c_proj_bias) + residual`.
///
/// With GELU in its tanh form the fused body keeps what goes into the activation only: what comes out is computed again
/// on the way back.
///
/// # Shapes
/// - x, residual, output: `[.., embd]`
#[must_use]
pub fn mlp<const D: usize>(
    x: Tensor<D>,
    weights: MlpWeights,
    function: Activation,
    residual: Tensor<D>,
    drop_probability: f64,
    masks: &mut DropoutMasks,
) -> Tensor<D> {
    let MlpWeights { c_fc, c_fc_bias, c_proj, c_proj_bias } = weights;
    if function.is_gelu_tanh()
        && [&c_fc, &c_proj].into_iter().all(fused::is_ours)
        && [&x, &residual].into_iter().all(fused::is_ours)
    {
        let drops = drop_probability != 0.0 && x.is_autodiff();
        let mask = drops.then(|| Mask::new(masks.next_key(), drop_probability));
        let [x, residual] = [x.cast(c_fc.dtype()), residual].map(Tensor::into_dispatch);
        let [c_fc, c_proj] = [c_fc, c_proj].map(Tensor::into_dispatch);
        let [fc_bias, proj_bias] = [c_fc_bias, c_proj_bias].map(Tensor::into_dispatch);
        let output =
            <Dispatch as FusedOps>::mlp(x, c_fc, fc_bias, c_proj, proj_bias, residual, mask);
        return Tensor::from_dispatch(output);
    }
    let inner = activate(linear::linear(x, c_fc, c_fc_bias), function);
    if drop_probability == 0.0 || !inner.is_autodiff() {
        return linear::linear_residual(inner, c_proj, c_proj_bias, residual);
    }
    let output = linear::linear(inner, c_proj, c_proj_bias).cast(residual.dtype());
    dropout_residual(output, residual, drop_probability, masks)
}
