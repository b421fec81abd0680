//! The language-model loss.

use burn::backend::Dispatch;
use burn::tensor::{FloatDType, Int, Tensor, activation::log_softmax};

use super::fused::{self, FusedOps};
use super::linear::scores_by_parts;

/// Sum over rows of `-log softmax(logits)[target]`, in nats, computed in f32.
///
/// Equals `torch.nn.functional.cross_entropy(.., reduction="sum")`.
///
/// # Shapes
/// - logits: `[rows, vocab]`
/// - targets: `[rows]`, each in `0..vocab`
/// - output: `[1]`
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    log_softmax(logits.cast(FloatDType::F32), 1).gather(1, targets.reshape([rows, 1])).sum().neg()
}

/// How many rows have their largest logit at the target.
///
/// # Shapes
/// - logits: `[rows, vocab]`
/// - targets: `[rows]`
/// - output: `[1]`
#[must_use]
pub fn token_accuracy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1, Int> {
    let [rows, _] = logits.dims();
    logits.argmax(1).reshape([rows]).equal(targets).int().sum()
}

/// [`cross_entropy`] of the [`scores`](super::scores) of `hidden`, times `factor`.
///
/// The factor belongs in here and not behind it: where head and loss are fused, the gradients are computed
/// in the forward pass, in parts of the rows, and no multiplication is left for the backward pass.
///
/// # Shapes
/// - hidden: `[rows, embd]`
/// - table: `[vocab, embd]`
/// - targets: `[rows]`, each in `0..vocab`
/// - output: `[1]`
#[must_use]
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    table: Tensor<2>,
    targets: Tensor<1, Int>,
    factor: f64,
) -> Tensor<1> {
    if fused::is_ours(&hidden) && fused::is_ours(&table) {
        return in_parts(hidden, table, targets, factor).0;
    }
    by_parts(hidden, table, targets, factor)
}

/// A product, and the loss of it.
#[must_use]
pub fn by_parts(
    hidden: Tensor<2>,
    table: Tensor<2>,
    targets: Tensor<1, Int>,
    factor: f64,
) -> Tensor<1> {
    let loss = cross_entropy(scores_by_parts(hidden, table), targets);
    if factor == 1.0 { loss } else { loss * factor }
}

/// [`linear_cross_entropy`], and the [`token_accuracy`] of the same scores.
///
/// # Shapes
/// As there; both outputs: `[1]`
#[must_use]
pub fn linear_cross_entropy_and_hits(
    hidden: Tensor<2>,
    table: Tensor<2>,
    targets: Tensor<1, Int>,
) -> (Tensor<1>, Tensor<1, Int>) {
    if fused::is_ours(&hidden) && fused::is_ours(&table) {
        return in_parts(hidden, table, targets, 1.0);
    }
    let logits = scores_by_parts(hidden, table);
    let hits = token_accuracy(logits.clone(), targets.clone());
    (cross_entropy(logits, targets), hits)
}

fn in_parts(
    hidden: Tensor<2>,
    table: Tensor<2>,
    targets: Tensor<1, Int>,
    factor: f64,
) -> (Tensor<1>, Tensor<1, Int>) {
    let hidden = hidden.cast(table.dtype());
    let ([hidden, table], targets) =
        ([hidden, table].map(Tensor::into_dispatch), targets.into_dispatch());
    let (loss, hits) = <Dispatch as FusedOps>::linear_cross_entropy(hidden, table, targets, factor);
    (Tensor::from_dispatch(loss), Tensor::from_dispatch(hits))
}
