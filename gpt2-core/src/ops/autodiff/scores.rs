//! Gradients of scores for the vectors of a table.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{Recorded, parents, register};
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct Scores;

impl<B: FusedKernels> Backward<B, 2> for Scores {
    /// Input and table, each where the other has a gradient.
    type State = [Option<FloatTensor<B>>; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let [x, table] = ops.state;
        let found = [
            table.map(|table| B::product(upstream.clone(), table)),
            x.map(|x| B::weight_gradient(upstream, x)),
        ];
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn scores<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    table: Recorded<B>,
) -> Recorded<B> {
    let state = [
        table.is_tracked().then(|| x.primitive().clone()),
        x.is_tracked().then(|| table.primitive().clone()),
    ];
    let nodes = [x.node(), table.node()];
    let output = B::scores(x.into_primitive(), table.into_primitive());
    match Scores.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
