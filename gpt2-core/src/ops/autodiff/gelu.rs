//! The gradient of GELU alone.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::Recorded;
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct Gelu;

impl<B: FusedKernels> Backward<B, 1> for Gelu {
    /// The input.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |upstream| {
            B::gelu_tanh_backward(upstream, ops.state)
        });
    }
}

pub(super) fn gelu<B: FusedKernels, C: CheckpointStrategy>(x: Recorded<B>) -> Recorded<B> {
    let (x, node) = x.into_parts();
    match Gelu.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(x.clone(), B::gelu_tanh(x)),
        OpsKind::UnTracked(prep) => prep.finish(B::gelu_tanh(x)),
    }
}
