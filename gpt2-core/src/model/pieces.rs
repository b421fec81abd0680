//! The model in pieces, for passes that stop at some layer or run one again.
//!
//! `ln_f` and [`Gpt2::head`] are the last two.

use burn::tensor::{Int, Tensor, module};

use super::block::Block;
use super::places::Places;
use super::{Gpt2, Gpt2Batch, Tokens};
use crate::ops::{self, AttentionBias, DropoutMasks};

impl Gpt2 {
    /// What goes into the first block: token plus position embedding, after dropout.
    ///
    /// # Shapes
    /// - output: `[batch, seq, embd]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn embedded(&self, batch: &Gpt2Batch, masks: &mut DropoutMasks) -> Tensor<3> {
        self.embed(batch, self.tokens(), None, masks)
    }

    /// What every block hides from whom, without a cache.
    #[must_use]
    pub fn attention_bias(&self, batch: &Gpt2Batch) -> AttentionBias {
        let [_, seq] = batch.input_ids.dims();
        AttentionBias::causal(seq, batch.attention_mask.clone(), &self.device())
    }

    pub(super) fn embed(
        &self,
        batch: &Gpt2Batch,
        tokens: Tokens<'_>,
        places: Option<&Places>,
        masks: &mut DropoutMasks,
    ) -> Tensor<3> {
        let [_, seq] = batch.input_ids.dims();
        let device = batch.input_ids.device();
        let positions = batch.position_ids.clone().unwrap_or_else(|| match places {
            Some(places) => places.positions(self.config.n_positions, &device),
            None => Tensor::<1, Int>::arange(0..seq as i64, &device).reshape([1, seq]),
        });
        let ids = batch.input_ids.clone();
        let embedded = match tokens {
            Tokens::Floats(table) => ops::embedding(*table, self.wpe.weight.val(), ids, positions),
            Tokens::Compact(table) => {
                let places = module::embedding(self.wpe.weight.val(), positions);
                ops::quantized_rows(table, ids) + places
            }
        };
        ops::dropout(embedded, self.embd_pdrop, masks)
    }
}

impl Block {
    /// The block alone, without a cache. With the `masks` of an earlier pass as they were before
    /// the block, it gives what it gave then.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, embd]`
    #[must_use]
    pub fn apply(&self, x: Tensor<3>, bias: &AttentionBias, masks: &mut DropoutMasks) -> Tensor<3> {
        self.forward(x, bias, None, masks, false).0
    }
}
