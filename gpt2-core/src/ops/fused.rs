//! Operations that do in one pass what ordinary ones do in several, on the backends that have them.

use std::ops::Range;
use std::sync::OnceLock;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::tensor::{DType, Tensor};

use super::AdamWUpdate;
use super::causal_attention::Heads;
use super::dropout::Mask;
use super::list::Tensors;
#[cfg(feature = "cube")]
use super::shapes;
use crate::{Error, Result, device};

/// The environment variable that turns them off.
const VARIABLE: &str = "GPT2_OPS";

/// Whether a tensor is one that the fused operations take, with gradients or without: `f32` on `flex`; `f32`, `f16` and
/// `bf16` on a GPU.
///
/// The one place that decides between them and the ordinary ones. `GPT2_OPS=plain` passes them all over.
pub(super) fn is_ours<const D: usize>(x: &Tensor<D>) -> bool {
    if !are_on() {
        return false;
    }
    let device = x.device();
    match x.dtype() {
        DType::F32 => device::is_flex(&device) || device::is_gpu(&device),
        DType::F16 | DType::BF16 => device::is_gpu(&device),
        _ => false,
    }
}

/// What the environment of this process asks for, which is read once.
pub(super) fn are_on() -> bool {
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
///
/// `fusion` says of every method what comes out, which Burn has to know before it is computed.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Autodiff,
    Fusion: cfg(feature = "cube")
)]
pub trait FusedOps: Backend {
    /// Layer normalization over the last axis.
    #[fusion(dtype = x, shape = x)]
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias`.
    #[fusion(dtype = weight, shape = shapes::of_linear(x, weight))]
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias + residual`.
    #[fusion(dtype = residual, shape = residual)]
    fn linear_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ weight + bias)`, of the tanh form.
    #[fusion(dtype = weight, shape = shapes::of_linear(x, weight))]
    fn linear_gelu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ c_fc + c_fc_bias) @ c_proj + c_proj_bias`, dropped by the mask, `+ residual`.
    #[fusion(dtype = residual, shape = residual)]
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
    #[fusion(dtype = table, shape = shapes::of_scores(x, table))]
    fn scores(x: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `gelu(x)`, of the tanh form.
    #[fusion(dtype = x, shape = x)]
    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Dropout with the mask of a key.
    #[fusion(dtype = x, shape = x)]
    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;

    /// `dropout(x) + residual`.
    #[fusion(dtype = residual, shape = residual)]
    fn dropout_residual(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Mask,
    ) -> FloatTensor<Self>;

    /// Rows of two tables, added. `after_head` says that `tokens` is an [`alias`](Self::alias) that the head
    /// has used as well, so that there is a gradient to add to.
    #[fusion(dtype = tokens, shape = shapes::of_look_up(tokens, ids))]
    fn embeddings(
        tokens: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        ids: IntTensor<Self>,
        places: IntTensor<Self>,
        after_head: bool,
    ) -> FloatTensor<Self>;

    /// The tensor itself, in a node of its own: gradients of what uses it meet there first.
    #[fusion(dtype = x, shape = x)]
    fn alias(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Summed cross-entropy of `hidden @ table^T` times a factor, and the number of hits.
    #[fusion(meta = shapes::of_cross_entropy)]
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
        factor: f64,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    /// Causal attention from packed queries, keys and values.
    #[fusion(dtype = qkv, shape = shapes::of_attention(qkv))]
    fn causal_attention(qkv: FloatTensor<Self>, heads: Heads) -> FloatTensor<Self>;

    /// Writes keys and values into the cache, then attends; gives output, keys and values. Records nothing.
    #[fusion(meta = shapes::of_attend)]
    fn attend_in_place(
        qkv: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Writes rows of the cache over others. Records nothing.
    #[fusion(dtype = cached, shape = cached)]
    fn move_rows(
        cached: FloatTensor<Self>,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FloatTensor<Self>;

    /// A step of AdamW where the tensors lie, of many parameters; gives values, means and means of squares. `factors` is one
    /// tensor of further factors on the gradients, of which `places` has the parameters' own, or none. Records nothing.
    #[fusion(meta = shapes::of_adamw)]
    fn adamw(
        #[extension_type] values: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] factors: Tensors<Self>,
        places: Vec<usize>,
        updates: Vec<AdamWUpdate>,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>);

    /// As many zeros as a tensor has elements, flat: a moment of AdamW.
    #[fusion(dtype = like, shape = shapes::flat(like))]
    fn moment(like: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Sums of squares of tensors, each at its place among `count` numbers, which are 0 elsewhere: f64 on `flex`, f32 on a
    /// GPU. Records nothing.
    #[fusion(meta = shapes::of_squared_norms)]
    fn squared_norms(
        #[extension_type] xs: Tensors<Self>,
        places: Vec<usize>,
        count: usize,
    ) -> FloatTensor<Self>;

    /// `sum + factor * part`, where `sum` lies. Records nothing.
    #[fusion(dtype = sum, shape = sum)]
    fn add_scaled(
        sum: FloatTensor<Self>,
        part: FloatTensor<Self>,
        factor: f32,
    ) -> FloatTensor<Self>;
}

/// What the backward passes are made of, on a backend without gradients.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube")
)]
pub trait FusedKernels: FusedOps {
    /// Gradients of input, weight and bias of [`FusedOps::fused_layer_norm`].
    #[fusion(meta = shapes::of_layer_norm_backward)]
    fn fused_layer_norm_backward(
        upstream: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `x @ weight`.
    #[fusion(dtype = weight, shape = shapes::of_linear(x, weight))]
    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x @ weight + bias`, dropped by the mask, `+ residual`.
    #[fusion(dtype = residual, shape = residual)]
    fn projected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Option<Mask>,
    ) -> FloatTensor<Self>;

    /// `x^T @ upstream`, over all axes but the last: the gradient of a weight, in `f32` whatever the weight is of.
    #[fusion(dtype = DType::F32, shape = shapes::of_weight_gradient(x, upstream))]
    fn weight_gradient(x: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Sums over all axes but the last: the gradient of a bias.
    #[fusion(dtype = upstream, shape = shapes::of_bias_gradient(upstream))]
    fn bias_gradient(upstream: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x @ weight + bias`, and GELU of it.
    #[fusion(meta = shapes::of_linear_gelu_with_input)]
    fn linear_gelu_with_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `upstream` times the derivative of GELU at `x`.
    #[fusion(dtype = x, shape = x)]
    fn gelu_tanh_backward(upstream: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `upstream @ weight^T` times the derivative of GELU at `x`.
    #[fusion(dtype = x, shape = x)]
    fn scores_through_gelu(
        upstream: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        x: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Adds rows of `upstream` to the rows `indices` of a table.
    #[fusion(dtype = table, shape = table)]
    fn scatter_add(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// [`scatter_add`](Self::scatter_add) to `rows` of zeros.
    #[fusion(dtype = upstream, shape = shapes::of_scattered(upstream, rows))]
    fn scattered(
        indices: IntTensor<Self>,
        upstream: FloatTensor<Self>,
        rows: usize,
    ) -> FloatTensor<Self>;

    /// Loss and hits of [`FusedOps::linear_cross_entropy`], and the gradients by `hidden` and `table`; for one that is
    /// not wanted there is a `[1]` that means nothing.
    #[fusion(meta = shapes::of_cross_entropy_with_gradients)]
    #[allow(clippy::type_complexity)]
    fn linear_cross_entropy_with_gradients(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
        factor: f64,
        wanted: [bool; 2],
    ) -> (FloatTensor<Self>, IntTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`FusedOps::causal_attention`], and the logarithm of the sum of exponentials of every query's scores.
    #[fusion(meta = shapes::of_attention_with_sums)]
    fn causal_attention_with_sums(
        qkv: FloatTensor<Self>,
        heads: Heads,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of the packed queries, keys and values.
    #[fusion(dtype = qkv, shape = qkv)]
    fn causal_attention_backward(
        upstream: FloatTensor<Self>,
        qkv: FloatTensor<Self>,
        output: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        heads: Heads,
    ) -> FloatTensor<Self>;

    /// `x * upstream`, where `upstream` is one number.
    #[fusion(dtype = x, shape = x)]
    fn scaled(x: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;
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
