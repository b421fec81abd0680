//! Gradients of products with a weight, and of what is done with them in the same pass.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::{Recorded, in_type, parents, register};
use crate::ops::fused::FusedKernels;

/// The operands of a product that gradients are made of: the input where the weight has one, and the other way
/// round.
pub(super) type Operands<B> = [Option<FloatTensor<B>>; 2];

/// Gradients of input, weight and bias. `is_wanted` says it of the bias; an operand says it of the other.
pub(super) fn gradients_of<B: FusedKernels>(
    upstream: FloatTensor<B>,
    [x, weight]: Operands<B>,
    is_wanted: bool,
) -> [Option<FloatTensor<B>>; 3] {
    [
        weight.map(|weight| B::scores(upstream.clone(), weight)),
        x.map(|x| B::weight_gradient(x, upstream.clone())),
        is_wanted.then(|| B::bias_gradient(upstream)),
    ]
}

/// Keeps of input and weight what their gradients need.
pub(super) fn operands<B: FusedKernels>(x: &Recorded<B>, weight: &Recorded<B>) -> Operands<B> {
    [
        weight.is_tracked().then(|| x.primitive().clone()),
        x.is_tracked().then(|| weight.primitive().clone()),
    ]
}

#[derive(Debug)]
struct Linear;

impl<B: FusedKernels> Backward<B, 3> for Linear {
    type State = Operands<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let found = gradients_of::<B>(upstream, ops.state, parents[2].is_some());
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn linear<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    weight: Recorded<B>,
    bias: Recorded<B>,
) -> Recorded<B> {
    let state = operands(&x, &weight);
    let nodes = [x.node(), weight.node(), bias.node()];
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
    let output = B::fused_linear(x, weight, bias);
    match Linear.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct LinearResidual;

impl<B: FusedKernels> Backward<B, 4> for LinearResidual {
    /// The element type of the product, beside the operands.
    type State = (DType, Operands<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let (dtype, operands) = ops.state;
        let by_product = in_type::<B>(upstream.clone(), dtype);
        let [by_x, by_weight, by_bias] =
            gradients_of::<B>(by_product, operands, parents[2].is_some());
        let found = [by_x, by_weight, by_bias, Some(upstream)];
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn linear_residual<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    weight: Recorded<B>,
    bias: Recorded<B>,
    residual: Recorded<B>,
) -> Recorded<B> {
    let state = (weight.primitive().dtype(), operands(&x, &weight));
    let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
    let [x, weight, bias, residual] =
        [x, weight, bias, residual].map(|tensor| tensor.into_primitive());
    let output = B::linear_residual(x, weight, bias, residual);
    match LinearResidual.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct LinearGelu;

impl<B: FusedKernels> Backward<B, 3> for LinearGelu {
    /// The product, from which GELU is derived, beside the operands.
    type State = (FloatTensor<B>, Operands<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let parents = parents(&ops);
        let (product, operands) = ops.state;
        let upstream = B::gelu_tanh_backward(gradients.consume::<B>(&ops.node), product);
        let found = gradients_of::<B>(upstream, operands, parents[2].is_some());
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn linear_gelu<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    weight: Recorded<B>,
    bias: Recorded<B>,
) -> Recorded<B> {
    let operands = operands(&x, &weight);
    let nodes = [x.node(), weight.node(), bias.node()];
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
    match LinearGelu.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (product, output) = B::linear_gelu_with_input(x, weight, bias);
            prep.finish((product, operands), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::linear_gelu(x, weight, bias)),
    }
}
