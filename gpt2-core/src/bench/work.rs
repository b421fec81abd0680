//! What a pass cannot do without: arithmetic, and bytes that have to move.

use burn::tensor::{DType, FloatDType};
use serde::{Deserialize, Serialize};

use super::Shape;
use crate::{Gpt2, Gpt2Config};

/// Bytes of a number of the residual stream, of a cache, of logits and of an optimizer.
const F32: f64 = 4.0;

/// Numbers that AdamW reads and writes for each parameter: weight, gradient and two moments in, all but the gradient
/// out.
const ADAMW_NUMBERS: f64 = 7.0;

/// Floating-point operations and bytes of one pass, however it is computed.
///
/// Operations are counted as model FLOPs utilization counts them: attention to all tokens, nothing twice. Bytes are those
/// that no arrangement of the arithmetic saves: weights, what an optimizer keeps, caches, and logits where those are the
/// result. Activations are left out, since a pass that computed them again would need no memory for them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes that are read or written.
    pub bytes: f64,
}

impl Work {
    /// Logits of all positions of a batch.
    #[must_use]
    pub fn of_prefill(model: &Gpt2, shape: Shape) -> Self {
        let (config, tokens) = (model.config(), shape.tokens() as f64);
        Self {
            flops: tokens * flops_per_token(config, shape.seq as f64) / 3.0,
            bytes: weight_bytes(model) + tokens * F32 * config.vocab_size as f64,
        }
    }

    /// An optimizer step over a batch, whose products are of numbers of this type: both directions read the
    /// weights, the backward one writes gradients, and AdamW goes over all of it in `f32`.
    #[must_use]
    pub fn of_step(config: &Gpt2Config, shape: Shape, products: FloatDType) -> Self {
        let product_bytes = DType::from(products).size();
        let parameters = config.parameter_count() as f64;
        let optimizer = parameters * F32 * (ADAMW_NUMBERS + 1.0);
        Self {
            flops: shape.tokens() as f64 * flops_per_token(config, shape.seq as f64),
            bytes: optimizer + 2.0 * product_bytes as f64 * multiplied_parameters(config) as f64,
        }
    }

    /// `new_tokens` tokens behind each of some prompts, with a cache: the prompts are read once, only their last positions
    /// go through the head, and each pass reads all weights, and what the cache holds by then.
    #[must_use]
    pub fn of_generation(model: &Gpt2, prompts: Shape, new_tokens: usize) -> Self {
        let config = model.config();
        let Shape { batch, seq } = prompts;
        let (batch, seq, new) = (batch as f64, seq as f64, new_tokens as f64);
        let width = (config.n_layer * config.n_embd) as f64;
        let head = (config.vocab_size * config.n_embd) as f64;
        let blocks = multiplied_parameters(config) as f64 - head;
        // The last token is not read again.
        let read = seq + new - 1.0;
        // Tokens that each token attends to: all of the prompt, then one more at each pass.
        let later = (1..new_tokens).map(|token| seq + token as f64).sum::<f64>();
        let flops = 2.0 * (blocks * read + head * new) + 4.0 * width * (seq * seq + later);
        let cache = F32 * 2.0 * width * (seq + later);
        Self { flops: batch * flops, bytes: new * weight_bytes(model) + batch * cache }
    }
}

/// Floating-point operations of training on one token, forward and backward: `6 N + 12 L H Q T`.
///
/// `N` are the parameters that a token is multiplied with: all but position embeddings and, where it
/// is not the head too, token embedding. `L` layers have `H` heads of width `Q`, and each attends to
/// `T` tokens, `sequence_length`. What is computed once more to save memory does not count, and what
/// frozen layers save is not taken off. A forward pass alone is a third of it.
///
/// Source: Chowdhery et al. 2022, "PaLM", appendix B; the count of `N` is that of nanoGPT's
/// `estimate_mfu`.
///
/// # Example
/// ```
/// use gpt2_core::Gpt2Config;
/// use gpt2_core::bench::flops_per_token;
///
/// let flops = flops_per_token(&Gpt2Config::gpt2(), 1024.0);
/// assert_eq!(flops, 6.0 * 123_653_376.0 + 12.0 * 12.0 * 768.0 * 1024.0);
/// ```
#[must_use]
pub fn flops_per_token(config: &Gpt2Config, sequence_length: f64) -> f64 {
    let attention = 12.0 * (config.n_layer * config.n_embd) as f64 * sequence_length;
    6.0 * multiplied_parameters(config) as f64 + attention
}

fn multiplied_parameters(config: &Gpt2Config) -> usize {
    let positions = config.n_positions * config.n_embd;
    let looked_up = match config.tie_word_embeddings {
        true => positions,
        false => positions + config.vocab_size * config.n_embd,
    };
    config.parameter_count().saturating_sub(looked_up)
}

/// Bytes of all weights that a token is multiplied with, without the scales of quantized ones.
fn weight_bytes(model: &Gpt2) -> f64 {
    let config = model.config();
    let head = config.vocab_size * config.n_embd;
    let blocks = multiplied_parameters(config).saturating_sub(head);
    let (in_block, in_head) = match model.weight_dtype() {
        "int4" => (0.5, 1.0),
        "int8" => (1.0, 1.0),
        "bf16" => (2.0, 2.0),
        _ => (F32, F32),
    };
    in_block * blocks as f64 + in_head * head as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn an_untied_head_costs_no_more_than_a_tied_one() {
        let tied = Gpt2Config::gpt2();
        let untied = Gpt2Config { tie_word_embeddings: false, ..tied.clone() };
        assert!(untied.parameter_count() > tied.parameter_count());
        assert_eq!(flops_per_token(&untied, 512.0), flops_per_token(&tied, 512.0));
    }

    #[test]
    fn a_longer_sequence_costs_its_attention() {
        let config = Gpt2Config::gpt2();
        let more = flops_per_token(&config, 1024.0) - flops_per_token(&config, 1023.0);
        assert_eq!(more, 12.0 * 12.0 * 768.0);
    }

    #[test]
    fn a_step_of_gpt2_moves_its_optimizer_whatever_the_batch_is() {
        let config = Gpt2Config::gpt2();
        let [small, large] = [1, 8]
            .map(|batch| Work::of_step(&config, Shape { batch, seq: 1024 }, FloatDType::BF16));
        assert_eq!(small.bytes, 32.0 * 124_439_808.0 + 4.0 * 123_653_376.0);
        assert_eq!((large.bytes, large.flops), (small.bytes, 8.0 * small.flops));
    }

    #[test]
    fn tokens_one_by_one_read_the_weights_once_each() {
        let config = Gpt2Config {
            vocab_size: 10,
            n_positions: 64,
            n_embd: 8,
            n_layer: 1,
            n_head: 2,
            ..Gpt2Config::gpt2()
        };
        let model = Gpt2::init(&config, 1, &device::test_device()).unwrap();
        let prompts = Shape { batch: 2, seq: 3 };
        let weights = 4.0 * multiplied_parameters(&config) as f64;
        // Keys and values of 3 tokens in the first pass, of 4 in the second.
        let cache = |tokens: usize| (4 * 2 * 8 * 2 * tokens) as f64;
        let first = Work::of_generation(&model, prompts, 1);
        let both = Work::of_generation(&model, prompts, 2);
        assert_eq!(first.bytes, weights + cache(3));
        assert_eq!(both.bytes, 2.0 * weights + cache(3) + cache(4));
        // The second token of each row goes through everything and attends to four tokens.
        let second = flops_per_token(&config, 4.0) / 3.0;
        assert_eq!(both.flops - first.flops, 2.0 * second);
    }
}
