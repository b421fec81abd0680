//! How likely a model finds tokens that are given: the loss of a text, scores of continuations.

mod loss;
mod score;

pub use loss::{TextLoss, Window, loss, sliding_loss};
pub use score::{ContinuationScore, score_continuations};

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use gpt2_core::{Error as CoreError, Gpt2};

use crate::Result;

/// Positions that go through the head at once: logits of a whole text would be the memory peak.
const HEAD_POSITIONS: usize = 256;

/// Log-probability of each target after its hidden state, in nats.
///
/// # Shapes
/// - hidden: `[targets, embd]`
fn log_probabilities(model: &Gpt2, hidden: Tensor<2>, targets: &[u32]) -> Result<Vec<f64>> {
    let mut found = Vec::with_capacity(targets.len());
    for (chunk, targets) in targets.chunks(HEAD_POSITIONS).enumerate() {
        let hidden = hidden.clone().narrow(0, chunk * HEAD_POSITIONS, targets.len());
        let columns = indices(model, targets).reshape([targets.len(), 1]);
        let chosen = log_softmax(model.head(hidden), 1).gather(1, columns);
        found.extend(on_host(chosen)?);
    }
    Ok(found)
}

/// Token ids as an index, `[ids]`.
fn indices(model: &Gpt2, ids: &[u32]) -> Tensor<1, Int> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::from(ids.as_slice()), &model.device())
}

fn on_host<const D: usize>(values: Tensor<D>) -> Result<impl Iterator<Item = f64>> {
    let values = values.try_into_vec_as::<f32>().map_err(CoreError::compute)?;
    Ok(values.into_iter().map(f64::from))
}
