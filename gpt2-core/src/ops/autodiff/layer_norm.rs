//! Gradients of a layer normalization.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{Recorded, parents, register};
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct LayerNorm;

impl<B: FusedKernels> Backward<B, 3> for LayerNorm {
    /// Input, weight, epsilon.
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let (x, weight, epsilon) = ops.state;
        let (by_x, by_weight, by_bias) = B::fused_layer_norm_backward(upstream, x, weight, epsilon);
        register::<B, _>(gradients, parents, [by_x, by_weight, by_bias].map(Some));
    }
}

pub(super) fn layer_norm<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    weight: Recorded<B>,
    bias: Recorded<B>,
    epsilon: f64,
) -> Recorded<B> {
    let nodes = [x.node(), weight.node(), bias.node()];
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
    match LayerNorm.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let state = (x.clone(), weight.clone(), epsilon);
            prep.finish(state, B::fused_layer_norm(x, weight, bias, epsilon))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::fused_layer_norm(x, weight, bias, epsilon)),
    }
}
