//! One transformer block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::Attention;
use super::cache::LayerCache;
use super::layers::{Conv1D, LayerNorm};
use super::mlp::Mlp;
use super::places::Places;
use super::source::TensorSource;
use crate::Result;
use crate::ops::{AttentionBias, DropoutMasks};

/// Pre-norm block: attention and MLP, each added to the residual stream.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// Attention.
    pub attn: Attention,
    /// Before the MLP.
    pub ln_2: LayerNorm,
    /// MLP.
    pub mlp: Mlp,
}

impl Block {
    pub(super) fn load(source: &mut TensorSource<'_>, layer: usize) -> Result<Self> {
        let name = format!("h.{layer}");
        Ok(Self {
            ln_1: LayerNorm::load(source, &format!("{name}.ln_1"))?,
            attn: Attention::load(source, &format!("{name}.attn"), layer)?,
            ln_2: LayerNorm::load(source, &format!("{name}.ln_2"))?,
            mlp: Mlp::load(source, &format!("{name}.mlp"))?,
        })
    }

    /// The matrix products with their names within the block, in the order of the checkpoint.
    pub(super) fn projections(&mut self) -> [(&'static str, &mut Conv1D); 4] {
        [
            ("attn.c_attn", &mut self.attn.c_attn),
            ("attn.c_proj", &mut self.attn.c_proj),
            ("mlp.c_fc", &mut self.mlp.c_fc),
            ("mlp.c_proj", &mut self.mlp.c_proj),
        ]
    }

    /// # Shapes
    /// - x, output: `[batch, seq, embd]`, and probabilities `[batch, head, seq, seq]`, if they are to be kept
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        bias: &AttentionBias,
        cache: Option<(&mut LayerCache, &Places)>,
        masks: &mut DropoutMasks,
        keeps_probabilities: bool,
    ) -> (Tensor<3>, Option<Tensor<4>>) {
        let normed = self.ln_1.forward(x.clone());
        let (x, probabilities) =
            self.attn.forward(normed, x, bias, cache, masks, keeps_probabilities);
        let normed = self.ln_2.forward(x.clone());
        (self.mlp.forward(normed, x, masks), probabilities)
    }
}
