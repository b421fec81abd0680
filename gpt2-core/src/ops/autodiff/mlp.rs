//! Gradients of an MLP, which computes its activation a second time rather than keeping it.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::linear::{Operands, gradients_of, operands};
use super::{Recorded, in_type, parents, register};
use crate::ops::dropout::Mask;
use crate::ops::fused::FusedKernels;

#[derive(Debug)]
struct Mlp;

/// What goes into the activation, what gradients of the first layer are made of, and the second weight where
/// something in front of it has a gradient.
#[derive(Debug, Clone)]
struct State<T> {
    inner: T,
    first: [Option<T>; 2],
    c_proj: Option<T>,
    mask: Option<Mask>,
}

impl<B: FusedKernels> Backward<B, 6> for Mlp {
    type State = State<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 6>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (parents, upstream) = (parents(&ops), gradients.consume::<B>(&ops.node));
        let State { inner, first, c_proj, mask } = ops.state;
        let [_, _, fc_bias, proj, proj_bias, _] = parents;
        let by_output = in_type::<B>(upstream.clone(), inner.dtype());
        let by_output = match mask {
            Some(mask) => B::dropout(by_output, mask),
            None => by_output,
        };
        let by_proj =
            proj.map(|_| B::weight_gradient(B::gelu_tanh(inner.clone()), by_output.clone()));
        let by_proj_bias = proj_bias.map(|_| B::bias_gradient(by_output.clone()));
        let [by_x, by_fc, by_fc_bias] = match c_proj {
            Some(c_proj) => {
                let by_inner = B::scores_through_gelu(by_output, c_proj, inner);
                gradients_of::<B>(by_inner, first, fc_bias.is_some())
            }
            None => [None, None, None],
        };
        let found = [by_x, by_fc, by_fc_bias, by_proj, by_proj_bias, Some(upstream)];
        register::<B, _>(gradients, parents, found);
    }
}

pub(super) fn mlp<B: FusedKernels, C: CheckpointStrategy>(
    x: Recorded<B>,
    c_fc: Recorded<B>,
    c_fc_bias: Recorded<B>,
    c_proj: Recorded<B>,
    c_proj_bias: Recorded<B>,
    residual: Recorded<B>,
    mask: Option<Mask>,
) -> Recorded<B> {
    let first: Operands<B> = operands(&x, &c_fc);
    let in_front = [&x, &c_fc, &c_fc_bias].into_iter().any(|tensor| tensor.is_tracked());
    let all = [x, c_fc, c_fc_bias, c_proj, c_proj_bias, residual];
    let nodes = all.each_ref().map(|tensor| tensor.node());
    let [x, c_fc, c_fc_bias, c_proj, c_proj_bias, residual] =
        all.map(|tensor| tensor.into_primitive());
    match Mlp.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (inner, activated) = B::linear_gelu_with_input(x, c_fc, c_fc_bias);
            let kept = in_front.then(|| c_proj.clone());
            let output = B::projected(activated, c_proj, c_proj_bias, residual, mask);
            prep.finish(State { inner, first, c_proj: kept, mask }, output)
        }
        OpsKind::UnTracked(prep) => {
            let activated = B::linear_gelu(x, c_fc, c_fc_bias);
            prep.finish(B::projected(activated, c_proj, c_proj_bias, residual, mask))
        }
    }
}
