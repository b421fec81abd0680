//! The causal language-model objective.

use burn::tensor::{Int, Tensor};
use gpt2_core::{Gpt2, ops};

use crate::data::ClmBatch;

/// Logits of the positions that count, `[scored, vocab]`.
///
/// The head is applied to those positions only: padding, ignored labels and the last position of
/// every row cost nothing.
#[must_use]
pub fn scored_logits(model: &Gpt2, batch: &ClmBatch) -> Tensor<2> {
    let hidden = model.hidden(&batch.input);
    let [rows, seq, embd] = hidden.dims();
    let flat = hidden.reshape([rows * seq, embd]);
    model.head(flat.select(0, batch.positions.clone()))
}

/// Sum over the batch of the negative log-likelihood of every next token that counts, in nats.
///
/// Divided by [`ClmBatch::scored`] it equals the `loss` of `GPT2LMHeadModel`: labels are shifted
/// by one, -100 is ignored, and the mean is over tokens.
///
/// # Shapes
/// - output: `[1]`
#[must_use]
pub fn clm_loss(model: &Gpt2, batch: &ClmBatch) -> Tensor<1> {
    ops::cross_entropy(scored_logits(model, batch), batch.targets.clone())
}

/// As [`clm_loss`], with the number of positions where the likeliest token is the right one.
#[must_use]
pub fn clm_loss_and_hits(model: &Gpt2, batch: &ClmBatch) -> (Tensor<1>, Tensor<1, Int>) {
    let logits = scored_logits(model, batch);
    let hits = ops::token_accuracy(logits.clone(), batch.targets.clone());
    (ops::cross_entropy(logits, batch.targets.clone()), hits)
}
