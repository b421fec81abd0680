//! Gradients in little memory: only the inputs of the blocks are kept, and each block is run again
//! in the backward pass.
//!
//! Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", with a segment for every
//! block, as `gradient_checkpointing_enable` of `transformers` has it. Burn's own strategy recomputes
//! single operations and keeps all products. The head goes through its rows in parts, so that the
//! logits of all of them never exist together.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use gpt2_core::Gpt2;
use gpt2_core::model::block::Block;
use gpt2_core::ops::{AttentionBias, DropoutMasks};

use super::sums::GradientSums;
use crate::data::ClmBatch;

/// Rows of logits that exist at a time, where the head does not see to that itself. Enough for a product that keeps the cores busy, and for the
/// head's gradient, which each part adds to, to be small change.
const HEAD_ROWS: usize = 256;

/// Summed loss of a batch times `loss_factor / scored`, in parts, and its gradients; `model` has leaves of its own.
///
/// Equals the pass over one graph bit for bit where the batch has up to [`HEAD_ROWS`] predictions or the head holds no
/// logits.
pub(super) fn loss_and_gradients(
    model: &Gpt2,
    batch: &ClmBatch,
    scored: usize,
    loss_factor: f64,
) -> (Vec<Tensor<1>>, GradientSums) {
    let mut sums = GradientSums::new(loss_factor);
    let start = DropoutMasks::new(batch.input.dropout_seed);
    let bias = model.attention_bias(&batch.input);
    let (inputs, last) = forward(model, batch, &bias, start.clone());
    let scale = loss_factor / scored as f64;
    let (losses, mut upstream) = head(model, batch, last, scale, &mut sums);
    for (block, (input, masks)) in model.h.iter().zip(inputs).rev() {
        upstream = backward(block, input, masks, &bias, upstream, &mut sums);
    }
    let embedded = model.embedded(&batch.input, &mut start.clone());
    // Embeddings may be frozen, and then there is no graph to go through.
    if embedded.is_tracked() {
        let mut gradients = weighted(embedded, upstream).backward();
        sums.add(&model.wte, &mut gradients);
        sums.add(&model.wpe, &mut gradients);
    }
    (losses, sums)
}

/// Input of every block with the masks that come next there, and the output of the last one.
fn forward(
    model: &Gpt2,
    batch: &ClmBatch,
    bias: &AttentionBias,
    mut masks: DropoutMasks,
) -> (Vec<(Tensor<3>, DropoutMasks)>, Tensor<3>) {
    // On the training device, where the operations are those of the second run and dropout is on,
    // but with nothing to derive by, so that nothing is recorded.
    let model = model.clone().no_grad();
    let mut x = model.embedded(&batch.input, &mut masks);
    let mut inputs = Vec::with_capacity(model.h.len());
    for block in &model.h {
        inputs.push((x.clone().inner(), masks.clone()));
        x = block.apply(x, bias, &mut masks);
    }
    (inputs, x.inner())
}

/// Summed losses, and the gradient of what goes into `ln_f`, both times `scale`.
fn head(
    model: &Gpt2,
    batch: &ClmBatch,
    last: Tensor<3>,
    scale: f64,
    sums: &mut GradientSums,
) -> (Vec<Tensor<1>>, Tensor<3>) {
    let leaf = leaf(last);
    let [rows, seq, embd] = leaf.dims();
    let hidden = model.ln_f.forward(leaf.clone()).reshape([rows * seq, embd]);
    let hidden = hidden.select(0, batch.positions.clone()); // [scored, embd]
    let (mut losses, mut upstream) = (Vec::new(), Vec::new());
    let parts = if model.is_fused() { batch.scored } else { HEAD_ROWS };
    let targets = batch.targets.clone().split(parts, 0);
    for (part, targets) in hidden.clone().inner().split(parts, 0).into_iter().zip(targets) {
        let part = self::leaf(part);
        let found = model.head_loss(part.clone(), targets, scale);
        let mut gradients = found.backward();
        sums.add(model.lm_head.as_ref().unwrap_or(&model.wte), &mut gradients);
        upstream.push(gradient(&part, &mut gradients));
        losses.push(found.inner());
    }
    let mut gradients = weighted(hidden, Tensor::cat(upstream, 0)).backward();
    sums.add(&model.ln_f, &mut gradients);
    (losses, gradient(&leaf, &mut gradients))
}

/// Runs a block again and gives the gradient of its input.
fn backward(
    block: &Block,
    input: Tensor<3>,
    mut masks: DropoutMasks,
    bias: &AttentionBias,
    upstream: Tensor<3>,
    sums: &mut GradientSums,
) -> Tensor<3> {
    let input = leaf(input);
    let mut gradients = weighted(block.apply(input.clone(), bias, &mut masks), upstream).backward();
    sums.add(block, &mut gradients);
    gradient(&input, &mut gradients)
}

fn leaf<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(x).require_grad()
}

/// A scalar whose gradient by `x` is `upstream`.
fn weighted<const D: usize>(x: Tensor<D>, upstream: Tensor<D>) -> Tensor<1> {
    (x * Tensor::from_inner(upstream)).sum()
}

fn gradient<const D: usize>(leaf: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    leaf.grad_remove(gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
