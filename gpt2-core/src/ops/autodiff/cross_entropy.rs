//! Gradients of head and loss, which the forward pass has computed already.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use burn::backend::tensor::IntTensor;

use super::{Recorded, parents, register};
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct LinearCrossEntropy;

impl<B: FusedKernels> Backward<B, 2> for LinearCrossEntropy {
    /// The gradients by hidden states and table.
    type State = [Option<FloatTensor<B>>; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let found = ops.state.map(|found| Some(B::scaled(found?, upstream.clone())));
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn linear_cross_entropy<B: FusedKernels, C: CheckpointStrategy>(
    hidden: Recorded<B>,
    table: Recorded<B>,
    targets: IntTensor<B>,
    factor: f64,
) -> (Recorded<B>, IntTensor<B>) {
    let nodes = [hidden.node(), table.node()];
    let wanted = [hidden.is_tracked(), table.is_tracked()];
    let [hidden, table] = [hidden, table].map(|tensor| tensor.into_primitive());
    match LinearCrossEntropy.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (loss, hits, by_hidden, by_table) =
                B::linear_cross_entropy_with_gradients(hidden, table, targets, factor, wanted);
            let [of_hidden, of_table] = wanted;
            let found = [of_hidden.then_some(by_hidden), of_table.then_some(by_table)];
            (prep.finish(found, loss), hits)
        }
        OpsKind::UnTracked(prep) => {
            let (loss, hits) = B::linear_cross_entropy(hidden, table, targets, factor);
            (prep.finish(loss), hits)
        }
    }
}
