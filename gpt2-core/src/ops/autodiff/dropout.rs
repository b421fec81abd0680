//! Gradients of dropout: the mask is made again from its key.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::tensor::DType;

use super::{Recorded, in_type, parents, register};
use crate::ops::dropout::Mask;
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct Dropout;

impl<B: FusedKernels> Backward<B, 1> for Dropout {
    type State = Mask;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |upstream| B::dropout(upstream, ops.state));
    }
}

pub(super) fn dropout<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    mask: Mask,
) -> Recorded<B> {
    let (x, node) = x.into_parts();
    let output = B::dropout(x, mask);
    match Dropout.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(mask, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct DropoutResidual;

impl<B: FusedKernels> Backward<B, 2> for DropoutResidual {
    /// The mask, and the element type of what it drops.
    type State = (Mask, DType);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let (mask, dtype) = ops.state;
        let by_x = parents[0].map(|_| B::dropout(in_type::<B>(upstream.clone(), dtype), mask));
        register::<B, _>(gradients, parents, [by_x, Some(upstream)]);
    }
}

pub(super) fn dropout_residual<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    residual: Recorded<B>,
    mask: Mask,
) -> Recorded<B> {
    let (nodes, dtype) = ([x.node(), residual.node()], x.primitive().dtype());
    let output = B::dropout_residual(x.into_primitive(), residual.into_primitive(), mask);
    match DropoutResidual.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((mask, dtype), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
