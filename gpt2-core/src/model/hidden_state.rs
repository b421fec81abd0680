//! One hidden state, without the blocks above it and without logits.

use burn::tensor::Tensor;

use super::{Gpt2, Gpt2Batch};
use crate::ops::{AttentionBias, DropoutMasks};

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
        let [_, seq] = batch.input_ids.dims();
        let masks = &mut DropoutMasks::new(batch.dropout_seed);
        let x = self.embed(batch, None, masks); // [batch, seq, embd]
        let bias = AttentionBias::causal(seq, batch.attention_mask.clone(), &x.device());
        let blocks = self.h.iter().take(layer);
        blocks.fold(x, |x, block| block.forward(x, &bias, None, masks).0)
    }
}
