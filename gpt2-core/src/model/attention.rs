//! Multi-head causal self-attention.

use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::LayerCache;
use super::layers::Conv1D;
use super::places::Places;
use super::source::TensorSource;
use crate::ops::{self, AttentionBias, AttentionScale, DropoutMasks};
use crate::{Gpt2Config, Result};

/// Attention of one block: fused query, key and value projection, heads, output projection.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query, key and value side by side, `[embd, 3 embd]`.
    pub c_attn: Conv1D,
    /// Output projection, `[embd, embd]`.
    pub c_proj: Conv1D,
    n_head: usize,
    #[module(skip)]
    scale: AttentionScale,
    attn_pdrop: f64,
    resid_pdrop: f64,
}

impl Attention {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str, layer: usize) -> Result<Self> {
        let config = source.config();
        Ok(Self {
            c_attn: Conv1D::load(source, &format!("{name}.c_attn"))?,
            c_proj: Conv1D::load(source, &format!("{name}.c_proj"))?,
            n_head: config.n_head,
            scale: scale(config, layer),
            attn_pdrop: config.attn_pdrop,
            resid_pdrop: config.resid_pdrop,
        })
    }

    pub(super) fn set_dropout(&mut self, attn_pdrop: f64, resid_pdrop: f64) {
        (self.attn_pdrop, self.resid_pdrop) = (attn_pdrop, resid_pdrop);
    }

    /// Attends from every position of `x` to itself and to what came before it, the keys and
    /// values of `cache` included, which takes those of `x` in at their places; what comes of it is
    /// added to the residual stream.
    ///
    /// # Shapes
    /// - x, residual: `[batch, seq, embd]`
    /// - output: `[batch, seq, embd]`, and probabilities `[batch, head, seq, seq]` where they are to be
    ///   kept and there is no cache
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        residual: Tensor<3>,
        bias: &AttentionBias,
        cache: Option<(&mut LayerCache, &Places)>,
        masks: &mut DropoutMasks,
        keeps_probabilities: bool,
    ) -> (Tensor<3>, Option<Tensor<4>>) {
        let qkv = self.c_attn.forward(x, masks); // [batch, seq, 3 embd]
        let (heads, scale, p) = (self.n_head, self.scale, self.attn_pdrop);
        let (merged, probabilities) = match cache {
            Some((cache, places)) if bias.is_by_places() => {
                (cache.attend(qkv, places, scale), None)
            }
            Some((cache, places)) => {
                let [query, key, value] = ops::heads_apart(qkv, heads);
                let (key, value) = cache.append(key, value, places);
                let found = ops::attention(query, key, value, bias, scale, p, masks);
                (ops::heads_together(found.output), None)
            }
            None if keeps_probabilities => {
                let (merged, probabilities) =
                    ops::plain::causal_attention(qkv, heads, bias, scale, p, masks);
                (merged, Some(probabilities))
            }
            None => (ops::causal_attention(qkv, heads, bias, scale, p, masks), None),
        };
        (self.c_proj.forward_residual(merged, residual, self.resid_pdrop, masks), probabilities)
    }
}

/// The three switches of the configuration come down to one factor and where it is applied.
fn scale(config: &Gpt2Config, layer: usize) -> AttentionScale {
    let mut factor = 1.0;
    if config.scale_attn_weights {
        factor /= (config.head_dim() as f64).sqrt();
    }
    if config.scale_attn_by_inverse_layer_idx {
        factor /= (layer + 1) as f64;
    }
    AttentionScale { factor, keys_first: config.reorder_and_upcast_attn }
}
