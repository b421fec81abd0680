//! One hidden state, without the blocks above it and without logits.

use burn::tensor::Tensor;

use super::{Gpt2, Gpt2Batch};
use crate::ops::DropoutMasks;

impl Gpt2 {
    /// The hidden state number `layer` of the `n_layer + 1` that
    /// [`forward_with`](Self::forward_with) keeps: 0 is the embeddings, `n_layer` the output of
    /// `ln_f`. Blocks above it are not computed.
    ///
    /// # Shapes
    /// - output: `[batch, seq, embd]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn hidden_state(&self, batch: &Gpt2Batch, layer: usize) -> Tensor<3> {
        if layer >= self.h.len() {
            return self.hidden(batch);
        }
        let masks = &mut DropoutMasks::new(batch.dropout_seed);
        let x = self.embedded(batch, masks); // [batch, seq, embd]
        let bias = self.attention_bias(batch);
        let blocks = self.h.iter().take(layer);
        blocks.fold(x, |x, block| block.apply(x, &bias, masks))
    }
}
