//! The tensors of a GPT-2, by name and shape.

use crate::Gpt2Config;
use crate::quantize::DepthAxis;

/// Prefix that `GPT2LMHeadModel` puts before every name but `lm_head.weight`.
pub const PREFIX: &str = "transformer.";

/// Prefix that PEFT puts before every name of an adapter, [`PREFIX`] included.
pub const ADAPTER_PREFIX: &str = "base_model.model.";

/// Name of the output projection; a parameter of its own only when embeddings are not tied.
pub const LM_HEAD: &str = "lm_head.weight";

/// Tables with a row for each token.
pub const TOKEN_TABLES: [&str; 2] = ["wte.weight", LM_HEAD];

/// Name and shape of every parameter of the configured model, in the order of the forward pass.
///
/// Names are those of the checkpoint without [`PREFIX`]; linear weights are `[in, out]`, as in
/// `transformers`' `Conv1D`, embeddings and `lm_head` are `[rows, n_embd]`.
#[must_use]
pub fn parameters(config: &Gpt2Config) -> Vec<(String, Vec<usize>)> {
    let (embd, inner) = (config.n_embd, config.inner_dim());
    let mut list = vec![
        ("wte.weight".to_string(), vec![config.vocab_size, embd]),
        ("wpe.weight".to_string(), vec![config.n_positions, embd]),
    ];
    for layer in 0..config.n_layer {
        for (name, shape) in [
            ("ln_1.weight", vec![embd]),
            ("ln_1.bias", vec![embd]),
            ("attn.c_attn.weight", vec![embd, 3 * embd]),
            ("attn.c_attn.bias", vec![3 * embd]),
            ("attn.c_proj.weight", vec![embd, embd]),
            ("attn.c_proj.bias", vec![embd]),
            ("ln_2.weight", vec![embd]),
            ("ln_2.bias", vec![embd]),
            ("mlp.c_fc.weight", vec![embd, inner]),
            ("mlp.c_fc.bias", vec![inner]),
            ("mlp.c_proj.weight", vec![inner, embd]),
            ("mlp.c_proj.bias", vec![embd]),
        ] {
            list.push((format!("h.{layer}.{name}"), shape));
        }
    }
    list.push(("ln_f.weight".to_string(), vec![embd]));
    list.push(("ln_f.bias".to_string(), vec![embd]));
    if !config.tie_word_embeddings {
        list.push((LM_HEAD.to_string(), vec![config.vocab_size, embd]));
    }
    list
}

/// The axis that products with this weight sum over, for the weights that [`Quantization`] concerns; `None` for the
/// position embedding, LayerNorms and biases.
///
/// [`Quantization`]: crate::Quantization
#[must_use]
pub fn depth_axis(name: &str) -> Option<DepthAxis> {
    let of_block = name.starts_with("h.") && !is_lora(name);
    match name.strip_suffix(".weight")? {
        "wte" | "lm_head" => Some(DepthAxis::Last),
        module if of_block && !module.contains(".ln_") => Some(DepthAxis::First),
        _ => None,
    }
}

/// Whether a parameter is one of LoRA's, `<module>.lora_A.weight` or `<module>.lora_B.weight`.
#[must_use]
pub fn is_lora(name: &str) -> bool {
    name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight")
}

/// The name as `transformers` writes it for `GPT2LMHeadModel`, and PEFT for LoRA's weights.
#[must_use]
pub fn published(name: &str) -> String {
    match name {
        // Of a quantized head there is more than one tensor.
        name if name.starts_with(LM_HEAD) => name.to_string(),
        name if is_lora(name) => format!("{ADAPTER_PREFIX}{PREFIX}{name}"),
        name => format!("{PREFIX}{name}"),
    }
}
