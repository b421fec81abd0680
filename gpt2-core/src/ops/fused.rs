//! Operations that do in one pass what ordinary ones do in several, on the backends that have them.

use std::ops::Range;
use std::sync::OnceLock;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::tensor::{DType, Device, Tensor};

use super::AdamWUpdate;
use super::causal_attention::Heads;
use super::dropout::Mask;
use crate::{Error, Result};

/// The environment variable that turns them off.
const VARIABLE: &str = "GPT2_OPS";

/// Whether a tensor is one that the fused operations take: `f32`, on `flex`, with gradients or without.
///
/// The one place that decides between them and the ordinary ones. `GPT2_OPS=plain` passes them all over.
pub(super) fn is_ours<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device() == Device::flex() && are_on()
}

/// What the environment of this process asks for, which is read once.
fn are_on() -> bool {
    static ARE_ON: OnceLock<bool> = OnceLock::new();
    *ARE_ON.get_or_init(|| check().unwrap_or(true))
}

/// Whether `GPT2_OPS` asks for the fused operations.
///
/// # Errors
/// [`Error::Environment`] where it has another value than `fused` or `plain`.
pub(crate) fn check() -> Result<bool> {
    match std::env::var_os(VARIABLE) {
        Some(name) => named(&name.to_string_lossy()),
        None => Ok(true),
    }
}

fn named(name: &str) -> Result<bool> {
    match name {
        "fused" => Ok(true),
        "plain" => Ok(false),
        _ => Err(Error::Environment {
            variable: VARIABLE,
            found: name.to_string(),
            expected: "fused or plain".to_string(),
        }),
    }
}

/// The operations, on tensors as the backend holds them.
///
/// The functions of the module above say what each computes; their bodies are the reference. On an autodiff
/// backend all but those of a cache record how to go back, by [`FusedKernels`].
#[backend_extension(Flex, Autodiff)]
pub trait FusedOps: Backend {
    /// Layer normalization over the last axis.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias`.
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias + residual`.
    fn linear_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ weight + bias)`, of the tanh form.
    fn linear_gelu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ c_fc + c_fc_bias) @ c_proj + c_proj_bias`, dropped by the mask, `+ residual`.
    fn mlp(
        x: FloatTensor<Self>,
        c_fc: FloatTensor<Self>,
        c_fc_bias: FloatTensor<Self>,
        c_proj: FloatTensor<Self>,
        c_proj_bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Option<Mask>,
    ) -> FloatTensor<Self>;

    /// `x @ table^T`.
    fn scores(x: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `gelu(x)`, of the tanh form.
    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Dropout with the mask of a key.
    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;

    /// `dropout(x) + residual`.
    fn dropout_residual(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Mask,
    ) -> FloatTensor<Self>;

    /// Rows of two tables, added. `after_head` says that `tokens` is an [`alias`](Self::alias) that the head
    /// has used as well, so that there is a gradient to add to.
    fn embeddings(
        tokens: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        ids: IntTensor<Self>,
        places: IntTensor<Self>,
        after_head: bool,
    ) -> FloatTensor<Self>;

    /// The tensor itself, in a node of its own: gradients of what uses it meet there first.
    fn alias(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Summed cross-entropy of `hidden @ table^T` times a factor, and the number of hits.
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
        factor: f64,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// Causal attention from packed queries, keys and values.
    fn causal_attention(qkv: FloatTensor<Self>, heads: Heads) -> FloatTensor<Self>;

    /// Writes keys and values into the cache, then attends; gives output, keys and values. Records nothing.
    fn attend_in_place(
        qkv: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Writes rows of the cache over others. Records nothing.
    fn move_rows(
        cached: FloatTensor<Self>,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FloatTensor<Self>;

    /// A step of AdamW where the tensors lie; gives value, mean and mean of squares. Records nothing.
    fn adamw(
        value: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        update: AdamWUpdate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Zeros of the shape of a tensor, for a moment of AdamW.
    fn moment(like: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Sum of squares, an f64 `[1]`. Records nothing.
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `sum + factor * part`, where `sum` lies. Records nothing.
    fn add_scaled(
        sum: FloatTensor<Self>,
        part: FloatTensor<Self>,
        factor: f32,
    ) -> FloatTensor<Self>;
}

/// What the backward passes are made of, on a backend without gradients.
pub trait FusedKernels: FusedOps {
    /// Gradients of input, weight and bias of [`FusedOps::fused_layer_norm`].
    fn fused_layer_norm_backward(
        upstream: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> [FloatTensor<Self>; 3];

    /// `x @ weight`.
    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x^T @ upstream`, over all axes but the last: the gradient of a weight.
    fn weight_gradient(x: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Sums over all axes but the last: the gradient of a bias.
    fn bias_gradient(upstream: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x @ weight + bias`, and GELU of it.
    fn linear_gelu_with_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `upstream` times the derivative of GELU at `x`.
    fn gelu_tanh_backward(upstream: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `upstream @ weight^T` times the derivative of GELU at `x`.
    fn scores_through_gelu(
        upstream: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Adds rows of `upstream` to the rows `indices` of a table, which has `rows` of zeros where none is given.
    fn scatter_add(
        table: Option<FloatTensor<Self>>,
        rows: usize,
        indices: IntTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Loss and hits of [`FusedOps::linear_cross_entropy`], and the gradients by `hidden` and `table` that are
    /// wanted.
    fn linear_cross_entropy_with_gradients(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
        factor: f64,
        wanted: [bool; 2],
    ) -> CrossEntropy<Self>;

    /// [`FusedOps::causal_attention`], and the logarithm of the sum of exponentials of every query's scores.
    fn causal_attention_with_sums(
        qkv: FloatTensor<Self>,
        heads: Heads,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of the packed queries, keys and values.
    fn causal_attention_backward(
        upstream: FloatTensor<Self>,
        qkv: FloatTensor<Self>,
        output: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        heads: Heads,
    ) -> FloatTensor<Self>;

    /// `x * upstream`, where `upstream` is one number.
    fn scaled(x: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What [`FusedKernels::linear_cross_entropy_with_gradients`] finds.
#[derive(Debug, Clone)]
pub struct CrossEntropy<B: Backend> {
    /// The loss times the factor, `[1]`.
    pub loss: FloatTensor<B>,
    /// Rows whose largest logit is at the target, `[1]`.
    pub hits: IntTensor<B>,
    /// Gradient by the hidden states.
    pub by_hidden: Option<FloatTensor<B>>,
    /// Gradient by the table.
    pub by_table: Option<FloatTensor<B>>,
}

/// `x @ weight + bias`, dropped by the mask, `+ residual`.
pub(super) fn projected<B: FusedOps>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    residual: FloatTensor<B>,
    mask: Option<Mask>,
) -> FloatTensor<B> {
    match mask {
        Some(mask) => B::dropout_residual(B::fused_linear(x, weight, bias), residual, mask),
        None => B::linear_residual(x, weight, bias, residual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_has_two_positions() {
        assert!(named("fused").unwrap() && !named("plain").unwrap());
        let error = named("off").unwrap_err().to_string();
        assert_eq!(error, "GPT2_OPS is `off`, expected fused or plain");
    }
}
