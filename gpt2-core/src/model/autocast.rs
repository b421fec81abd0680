//! A copy of a model that computes its products in half the bits.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};

use super::Gpt2;
use super::layers::{Conv1D, Embedding};

impl Gpt2 {
    /// A copy whose products and activations are of `dtype`, as under `torch.autocast`.
    ///
    /// The weights of the linear layers and of the head are copied in that type; embeddings and
    /// LayerNorms are shared with the model. A layer computes in the type of its weights, so that
    /// what remains in f32 is: the residual stream (its sums, LayerNorm, dropout), the scaled
    /// scores with mask and softmax, and whatever the caller does with the logits, which are of
    /// `dtype`. Of a tied embedding the copy has both: the table for look-ups and, as a head of
    /// its own under the same parameter id, its rounded copy.
    ///
    /// It is for passes without a [`KvCache`](super::KvCache), whose entries are f32. The device
    /// must have the type: ask `device.supports_dtype(dtype)`.
    #[must_use]
    pub fn autocast(&self, dtype: FloatDType) -> Self {
        let mut copy = self.clone().dequantize();
        let linear = |layer: Conv1D| layer.map(&mut Cast(dtype));
        copy.h = copy
            .h
            .into_iter()
            .map(|mut block| {
                block.attn.c_attn = linear(block.attn.c_attn);
                block.attn.c_proj = linear(block.attn.c_proj);
                block.mlp.c_fc = linear(block.mlp.c_fc);
                block.mlp.c_proj = linear(block.mlp.c_proj);
                block
            })
            .collect();
        let head = copy.lm_head.take().unwrap_or_else(|| copy.wte.clone());
        copy.lm_head = Some(Embedding::map(head, &mut Cast(dtype)));
        copy
    }
}

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value.cast(self.0))
    }
}
