//! Gradients of look-ups in two tables.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

use burn::backend::TensorMetadata;
use burn::backend::tensor::IntTensor;

use super::{Recorded, register};
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct Embedding;

/// What was looked up, and in how many rows.
#[derive(Debug, Clone)]
struct State<I> {
    ids: I,
    places: I,
    rows: [usize; 2],
    after_head: bool,
}

impl<B: FusedKernels> Backward<B, 2> for Embedding {
    type State = State<IntTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let upstream = gradients.consume::<B>(&ops.node);
        let State { ids, places, rows, after_head } = ops.state;
        let [tokens, positions] = ops.parents;
        let by_tokens = tokens.as_ref().map(|tokens| {
            // The head stands behind everything, so its gradient is there. Taken out it has no second owner, and
            // what is looked up is added where it lies: a dense table of zeros would cost as much as the head.
            if after_head {
                let table = gradients.consume::<B>(tokens);
                return B::scatter_add(table, ids, upstream.clone());
            }
            B::scattered(ids, upstream.clone(), rows[0])
        });
        let by_positions = positions.as_ref().map(|_| B::scattered(places, upstream, rows[1]));
        let parents = [tokens, positions].map(|parent| parent.map(|parent| parent.id));
        register::<B, _>(gradients, parents, [by_tokens, by_positions]);
    }
}

pub(super) fn embedding<B: FusedKernels, C: CheckpointStrategy>(
    tokens: Recorded<B>,
    positions: Recorded<B>,
    ids: IntTensor<B>,
    places: IntTensor<B>,
    after_head: bool,
) -> Recorded<B> {
    let nodes = [tokens.node(), positions.node()];
    let [tokens, positions] = [tokens, positions].map(|table| table.into_primitive());
    let rows = [tokens.shape()[0], positions.shape()[0]];
    let output = B::embeddings(tokens, positions, ids.clone(), places.clone(), after_head);
    match Embedding.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(State { ids, places, rows, after_head }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
