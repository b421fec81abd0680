//! How the fused operations go back: one [`Backward`](burn::backend::autodiff::ops::Backward) a file.

mod alias;
mod attention;
mod cross_entropy;
mod dropout;
mod embedding;
mod gelu;
mod layer_norm;
mod linear;
mod mlp;
mod scores;

use std::ops::Range;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::Ops;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::DType;

use super::AdamWUpdate;
use super::causal_attention::Heads;
use super::dropout::Mask;
use super::fused::{FusedKernels, FusedOps};
use super::list::Tensors;

impl<B: FusedKernels, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        layer_norm::layer_norm::<B, C>(x, weight, bias, epsilon)
    }

    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        linear::linear::<B, C>(x, weight, bias)
    }

    fn linear_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        linear::linear_residual::<B, C>(x, weight, bias, residual)
    }

    fn linear_gelu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        linear::linear_gelu::<B, C>(x, weight, bias)
    }

    fn mlp(
        x: FloatTensor<Self>,
        c_fc: FloatTensor<Self>,
        c_fc_bias: FloatTensor<Self>,
        c_proj: FloatTensor<Self>,
        c_proj_bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Option<Mask>,
    ) -> FloatTensor<Self> {
        mlp::mlp::<B, C>(x, c_fc, c_fc_bias, c_proj, c_proj_bias, residual, mask)
    }

    fn scores(x: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self> {
        scores::scores::<B, C>(x, table)
    }

    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        gelu::gelu::<B, C>(x)
    }

    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        dropout::dropout::<B, C>(x, mask)
    }

    fn dropout_residual(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        mask: Mask,
    ) -> FloatTensor<Self> {
        dropout::dropout_residual::<B, C>(x, residual, mask)
    }

    fn embeddings(
        tokens: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        ids: IntTensor<Self>,
        places: IntTensor<Self>,
        after_head: bool,
    ) -> FloatTensor<Self> {
        embedding::embedding::<B, C>(tokens, positions, ids, places, after_head)
    }

    fn alias(x: FloatTensor<Self>) -> FloatTensor<Self> {
        alias::alias::<B, C>(x)
    }

    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
        factor: f64,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        cross_entropy::linear_cross_entropy::<B, C>(hidden, table, targets, factor)
    }

    fn causal_attention(qkv: FloatTensor<Self>, heads: Heads) -> FloatTensor<Self> {
        attention::causal_attention::<B, C>(qkv, heads)
    }

    fn attend_in_place(
        qkv: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [qkv, keys, values] = [qkv, keys, values].map(|tensor| tensor.into_primitive());
        let (output, keys, values) = B::attend_in_place(qkv, keys, values, places, factor);
        (constant(output), constant(keys), constant(values))
    }

    fn move_rows(
        cached: FloatTensor<Self>,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FloatTensor<Self> {
        constant(B::move_rows(cached.into_primitive(), from, first, filled))
    }

    fn adamw(
        values: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        gradients: Tensors<Self>,
        factors: Tensors<Self>,
        places: Vec<usize>,
        updates: Vec<AdamWUpdate>,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let [values, means, squares] = [values, means, squares].map(inner);
        let (gradients, factors) = (inner(gradients), inner(factors));
        let (values, means, squares) =
            B::adamw(values, means, squares, gradients, factors, places, updates);
        (constants(values), constants(means), constants(squares))
    }

    fn moment(like: FloatTensor<Self>) -> FloatTensor<Self> {
        constant(B::moment(like.into_primitive()))
    }

    fn squared_norms(xs: Tensors<Self>, places: Vec<usize>, count: usize) -> FloatTensor<Self> {
        constant(B::squared_norms(inner(xs), places, count))
    }

    fn add_scaled(
        sum: FloatTensor<Self>,
        part: FloatTensor<Self>,
        factor: f32,
    ) -> FloatTensor<Self> {
        constant(B::add_scaled(sum.into_primitive(), part.into_primitive(), factor))
    }
}

/// A tensor of an autodiff backend, whatever its strategy for memory.
type Recorded<B> = FloatTensor<Autodiff<B>>;

/// A tensor that nothing is derived by.
fn constant<B: FusedKernels>(x: FloatTensor<B>) -> Recorded<B> {
    <Autodiff<B> as burn::backend::AutodiffBackend>::from_inner(x)
}

/// Tensors without what is recorded of them.
fn inner<B: FusedKernels, C: CheckpointStrategy>(xs: Tensors<Autodiff<B, C>>) -> Tensors<B> {
    Tensors(xs.0.into_iter().map(|x| x.into_primitive()).collect())
}

/// Tensors that nothing is derived by.
fn constants<B: FusedKernels, C: CheckpointStrategy>(xs: Tensors<B>) -> Tensors<Autodiff<B, C>> {
    Tensors(xs.0.into_iter().map(constant::<B>).collect())
}

/// A gradient in the element type of what it is of: in half precision a product may be narrower than the sum it goes
/// into, which hands its own gradient on.
fn in_type<B: FusedKernels>(gradient: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if gradient.dtype() == dtype {
        return gradient;
    }
    B::float_cast(gradient, dtype.into())
}

/// The inputs of a step that have use for a gradient.
fn parents<S, const N: usize>(ops: &Ops<S, N>) -> [Option<NodeId>; N] {
    ops.parents.each_ref().map(|parent| parent.as_ref().map(|parent| parent.id))
}

/// Hands gradients to the parents that have use for them.
fn register<B: FusedKernels, const N: usize>(
    gradients: &mut Gradients,
    parents: [Option<NodeId>; N],
    found: [Option<FloatTensor<B>>; N],
) {
    for (parent, gradient) in parents.into_iter().zip(found) {
        if let (Some(parent), Some(gradient)) = (parent, gradient) {
            gradients.register::<B>(parent, gradient);
        }
    }
}
