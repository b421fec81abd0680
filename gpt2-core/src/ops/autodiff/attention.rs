//! The gradient of attention, from its output and one number a row.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::Recorded;
use crate::ops::causal_attention::Heads;
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct CausalAttention;

/// Input, output, and the logarithm of every row's sum of exponentials.
#[derive(Debug, Clone)]
struct State<T> {
    qkv: T,
    output: T,
    sums: T,
    heads: Heads,
}

impl<B: FusedKernels> Backward<B, 1> for CausalAttention {
    type State = State<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |upstream| {
            let State { qkv, output, sums, heads } = ops.state;
            B::causal_attention_backward(upstream, qkv, output, sums, heads)
        });
    }
}

pub(super) fn causal_attention<B: FusedKernels, C: CheckpointStrategy>(
    qkv: Recorded<B>,
    heads: Heads,
) -> Recorded<B> {
    let (qkv, node) = qkv.into_parts();
    let (output, sums) = B::causal_attention_with_sums(qkv.clone(), heads);
    match CausalAttention.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            prep.finish(State { qkv, output: output.clone(), sums, heads }, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
