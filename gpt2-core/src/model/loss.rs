//! The loss of next tokens, with the head.

use burn::tensor::{Int, Tensor};

use super::{Gpt2, Gpt2Batch, Kept, Tokens};
use crate::ops::{self, CompactWeight, TokenTable};

impl Gpt2 {
    /// Summed negative log-likelihood of the tokens `targets` after `positions`, in nats, times `factor`.
    ///
    /// The head is applied to those positions only, and where gradients are wanted they may be computed along
    /// with the loss: the factor of what is derived belongs in here, not behind it.
    ///
    /// # Shapes
    /// - positions: `[scored]`, rows of the flattened `[batch * seq]`
    /// - targets: `[scored]`
    /// - output: `[1]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn loss(
        &self,
        batch: &Gpt2Batch,
        positions: Tensor<1, Int>,
        targets: Tensor<1, Int>,
        factor: f64,
    ) -> Tensor<1> {
        if self.is_compact() && !self.device().is_autodiff() {
            return self.head_loss(picked(self.hidden(batch), positions), targets, factor);
        }
        // A tied table is here for both of its uses, and so may have one gradient for both.
        let tokens = match &self.lm_head {
            None => TokenTable::tied(self.wte.weight.val()),
            Some(_) => TokenTable::new(self.wte.weight.val()),
        };
        let table = match &self.lm_head {
            None => tokens.weight.clone(),
            Some(head) => head.weight.val(),
        };
        let tokens = Tokens::Floats(Box::new(tokens));
        let hidden = self.run(batch, tokens, None, &mut Kept::default());
        ops::linear_cross_entropy(picked(hidden, positions), table, targets, factor)
    }

    /// As [`loss`](Self::loss) with the factor 1, and how many of the targets are the likeliest token.
    ///
    /// # Shapes
    /// As there; both outputs: `[1]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn loss_and_hits(
        &self,
        batch: &Gpt2Batch,
        positions: Tensor<1, Int>,
        targets: Tensor<1, Int>,
    ) -> (Tensor<1>, Tensor<1, Int>) {
        let hidden = picked(self.hidden(batch), positions);
        match self.compact_head(&hidden) {
            Some(table) => ops::quantized_cross_entropy(hidden, table, targets),
            None => {
                let table = self.head_table().weight.val();
                ops::linear_cross_entropy_and_hits(hidden, table, targets)
            }
        }
    }

    /// The part of [`loss`](Self::loss) behind `ln_f`.
    ///
    /// # Shapes
    /// - hidden: `[scored, embd]`
    /// - targets: `[scored]`
    /// - output: `[1]`
    #[must_use]
    pub fn head_loss(&self, hidden: Tensor<2>, targets: Tensor<1, Int>, factor: f64) -> Tensor<1> {
        match self.compact_head(&hidden) {
            Some(table) => ops::quantized_cross_entropy(hidden, table, targets).0 * factor,
            None => {
                let table = self.head_table().weight.val();
                ops::linear_cross_entropy(hidden, table, targets, factor)
            }
        }
    }

    /// Whether passes are made of fused operations, which use all cores themselves and never hold the logits of all
    /// positions.
    #[must_use]
    pub fn is_fused(&self) -> bool {
        if self.is_compact() {
            // Not by the weights, which would be computed.
            return ops::is_fused(&self.ln_f.weight.val());
        }
        let block = self.h.first().map(|block| block.mlp.c_fc.weight.val());
        ops::is_fused(&self.head_table().weight.val())
            && block.is_none_or(|weight| ops::is_fused(&weight))
    }

    /// The head in fewer bits, where there are products of it with these hidden states.
    fn compact_head(&self, hidden: &Tensor<2>) -> Option<&CompactWeight> {
        self.head_table().compact_for(hidden)
    }
}

/// The hidden states of some positions.
fn picked(hidden: Tensor<3>, positions: Tensor<1, Int>) -> Tensor<2> {
    let [rows, seq, embd] = hidden.dims();
    hidden.reshape([rows * seq, embd]).select(0, positions)
}
