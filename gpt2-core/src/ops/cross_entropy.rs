//! The language-model loss.

use burn::tensor::{FloatDType, Int, Tensor, activation::log_softmax};

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
