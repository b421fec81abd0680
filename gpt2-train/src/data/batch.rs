//! Sequences of a step, as tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};
use gpt2_core::Gpt2Batch;

use super::Example;

/// A batch for causal language modelling.
///
/// Shorter rows are padded on the right, which a causal model never looks at from the left, and
/// the padding is not scored; so no mask is needed.
#[derive(Debug, Clone)]
pub struct ClmBatch {
    /// The ids, `[batch, seq]`.
    pub input: Gpt2Batch,
    /// Positions whose prediction counts, as rows of the flattened `[batch * seq]`; `[scored]`.
    pub positions: Tensor<1, Int>,
    /// The id to predict at each of them, `[scored]`.
    pub targets: Tensor<1, Int>,
    /// Number of predictions that count.
    pub scored: usize,
    /// Number of tokens that were not padding.
    pub tokens: usize,
}

impl ClmBatch {
    /// Puts checked sequences (see [`Dataset`](super::Dataset)) on a device.
    ///
    /// Returns `None` when nothing in them is to be predicted.
    #[must_use]
    pub fn new(examples: &[&Example], device: &Device) -> Option<Self> {
        let seq = examples.iter().map(|example| example.input_ids.len()).max()?;
        let mut ids = vec![0i32; examples.len() * seq];
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        for (row, example) in examples.iter().enumerate() {
            for (at, &id) in example.input_ids.iter().enumerate() {
                ids[row * seq + at] = id as i32;
                if let Some(target) = example.target(at) {
                    positions.push((row * seq + at) as i32);
                    targets.push(target as i32);
                }
            }
        }
        let scored = positions.len();
        if scored == 0 {
            return None;
        }
        let input_ids = Tensor::from_data(TensorData::new(ids, [examples.len(), seq]), device);
        Some(Self {
            input: Gpt2Batch::from_tensor(input_ids),
            positions: Tensor::from_data(TensorData::new(positions, [scored]), device),
            targets: Tensor::from_data(TensorData::new(targets, [scored]), device),
            scored,
            tokens: examples.iter().map(|example| example.input_ids.len()).sum(),
        })
    }
}
