//! [`Gpt2Config`]: the shape and switches of a model, as `config.json` holds them.

mod activation;
mod fields;

pub use activation::Activation;
pub use fields::{Fields, read_object, shown, token_id};

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::quantize::Quantization;
use crate::{Error, Result};

/// `model_type` of the only architecture that this crate knows.
const MODEL_TYPE: &str = "gpt2";

/// Upper bounds that no GPT-2 comes near; they keep a hostile file from asking for absurd memory.
mod limit {
    pub const LAYERS: usize = 4_096;
    pub const WIDTH: usize = 1 << 20;
    pub const ROWS: usize = 1 << 24;
    pub const PARAMETERS: usize = 100_000_000_000;
}

/// Everything about a GPT-2 that changes its numbers, under Hugging Face's own names.
///
/// Source: `GPT2Config` of `transformers`; defaults are those of that class. Keys of `config.json`
/// that do not concern the model (`task_specific_params`, generation defaults, ...) are kept in
/// [`extra`](Self::extra) and written back.
///
/// # Example
/// ```
/// use gpt2_core::Gpt2Config;
///
/// let config = Gpt2Config { vocab_size: 1000, n_layer: 2, ..Gpt2Config::gpt2() };
/// config.validate()?;
/// assert_eq!(config.head_dim(), 64);
/// # Ok::<(), gpt2_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gpt2Config {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding: the longest sequence.
    pub n_positions: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Attention heads of a block; divides `n_embd`.
    pub n_head: usize,
    /// Width of the MLP's hidden layer; `None` is `4 * n_embd`.
    pub n_inner: Option<usize>,
    /// Nonlinearity of the MLP.
    pub activation_function: Activation,
    /// Dropout after the MLP and after the attention's projection.
    pub resid_pdrop: f64,
    /// Dropout after the sum of the embeddings.
    pub embd_pdrop: f64,
    /// Dropout on the attention probabilities.
    pub attn_pdrop: f64,
    /// Added to the variance in every LayerNorm.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Divide attention scores by `sqrt(head_dim)`.
    pub scale_attn_weights: bool,
    /// Divide attention scores of block `i` by `i + 1` as well.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Scale keys before the dot product and compute scores in f32.
    pub reorder_and_upcast_attn: bool,
    /// Whether `lm_head` is the token embedding itself.
    pub tie_word_embeddings: bool,
    /// Begin-of-text token.
    pub bos_token_id: Option<u32>,
    /// End-of-text tokens; the file may hold one, a list or null.
    pub eos_token_id: Vec<u32>,
    /// Padding token.
    pub pad_token_id: Option<u32>,
    /// How the weights are quantized; `None` where they are floats.
    pub quantization_config: Option<Quantization>,
    /// All other keys of the file, kept as they are.
    pub extra: Map<String, Value>,
}

impl Default for Gpt2Config {
    fn default() -> Self {
        Self {
            vocab_size: 50_257,
            n_positions: 1_024,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            n_inner: None,
            activation_function: Activation::GeluNew,
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            reorder_and_upcast_attn: false,
            tie_word_embeddings: true,
            bos_token_id: Some(50_256),
            eos_token_id: vec![50_256],
            pad_token_id: None,
            quantization_config: None,
            extra: Map::new(),
        }
    }
}

/// The four sizes that OpenAI published (Radford et al. 2019, table 2).
impl Gpt2Config {
    /// GPT-2 small: 124,439,808 parameters.
    #[must_use]
    pub fn gpt2() -> Self {
        Self::default()
    }

    /// GPT-2 medium: 354,823,168 parameters.
    #[must_use]
    pub fn gpt2_medium() -> Self {
        Self { n_embd: 1_024, n_layer: 24, n_head: 16, ..Self::default() }
    }

    /// GPT-2 large: 774,030,080 parameters.
    #[must_use]
    pub fn gpt2_large() -> Self {
        Self { n_embd: 1_280, n_layer: 36, n_head: 20, ..Self::default() }
    }

    /// GPT-2 XL: 1,557,611,200 parameters.
    #[must_use]
    pub fn gpt2_xl() -> Self {
        Self { n_embd: 1_600, n_layer: 48, n_head: 25, ..Self::default() }
    }
}

impl Gpt2Config {
    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// Width of the MLP's hidden layer, with the default filled in.
    #[must_use]
    pub fn inner_dim(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }

    /// Number of trainable numbers; a tied `lm_head` counts once.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let (embd, inner) = (self.n_embd, self.inner_dim());
        let attention = embd * 3 * embd + 3 * embd + embd * embd + embd;
        let mlp = embd * inner + inner + inner * embd + embd;
        let norms = 2 * 2 * embd;
        let head = if self.tie_word_embeddings { 0 } else { self.vocab_size * embd };
        (self.vocab_size + self.n_positions) * embd
            + self.n_layer * (attention + mlp + norms)
            + 2 * embd
            + head
    }

    /// Reads `config.json` from a file and validates it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], or [`Error::Field`] naming the field that is wrong.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_object(read_object(path)?).map_err(|error| error.in_file(path))
    }

    /// Reads the JSON text of a `config.json` and validates it.
    ///
    /// # Errors
    /// [`Error::Field`] naming the field that is wrong, or the text itself as `config.json`.
    pub fn from_json(text: &str) -> Result<Self> {
        let object = serde_json::from_str(text)
            .map_err(|source| Error::Json { path: "config.json".into(), source })?;
        Self::from_object(object)
    }

    fn from_object(object: Map<String, Value>) -> Result<Self> {
        let mut fields = Fields::new(object);
        refuse_other_models(&mut fields)?;
        let default = Self::default();
        // `n_ctx` is the name that the first releases gave to `n_positions`.
        let n_ctx = fields.optional_usize("n_ctx")?.unwrap_or(default.n_positions);
        let config = Self {
            vocab_size: fields.usize("vocab_size", default.vocab_size)?,
            n_positions: fields.usize("n_positions", n_ctx)?,
            n_embd: fields.usize("n_embd", default.n_embd)?,
            n_layer: fields.usize("n_layer", default.n_layer)?,
            n_head: fields.usize("n_head", default.n_head)?,
            n_inner: fields.optional_usize("n_inner")?,
            activation_function: fields.activation("activation_function")?,
            resid_pdrop: fields.f64("resid_pdrop", default.resid_pdrop)?,
            embd_pdrop: fields.f64("embd_pdrop", default.embd_pdrop)?,
            attn_pdrop: fields.f64("attn_pdrop", default.attn_pdrop)?,
            layer_norm_epsilon: fields.f64("layer_norm_epsilon", default.layer_norm_epsilon)?,
            initializer_range: fields.f64("initializer_range", default.initializer_range)?,
            scale_attn_weights: fields.bool("scale_attn_weights", true)?,
            scale_attn_by_inverse_layer_idx: fields
                .bool("scale_attn_by_inverse_layer_idx", false)?,
            reorder_and_upcast_attn: fields.bool("reorder_and_upcast_attn", false)?,
            tie_word_embeddings: fields.bool("tie_word_embeddings", true)?,
            bos_token_id: fields.token_id("bos_token_id", default.bos_token_id)?,
            eos_token_id: fields.token_ids("eos_token_id", default.eos_token_id)?,
            pad_token_id: fields.token_id("pad_token_id", None)?,
            quantization_config: quantization(&mut fields)?,
            extra: fields.rest(),
        };
        config.validate()?;
        Ok(config)
    }

    /// The JSON object that `transformers` reads as `config.json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = self.extra.clone();
        let known = json!({
            "activation_function": self.activation_function.name(),
            "attn_pdrop": self.attn_pdrop,
            "bos_token_id": self.bos_token_id,
            "embd_pdrop": self.embd_pdrop,
            "eos_token_id": match self.eos_token_id.as_slice() {
                [] => Value::Null,
                [one] => json!(one),
                many => json!(many),
            },
            "initializer_range": self.initializer_range,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "model_type": MODEL_TYPE,
            "n_ctx": self.n_positions,
            "n_embd": self.n_embd,
            "n_head": self.n_head,
            "n_inner": self.n_inner,
            "n_layer": self.n_layer,
            "n_positions": self.n_positions,
            "pad_token_id": self.pad_token_id,
            "reorder_and_upcast_attn": self.reorder_and_upcast_attn,
            "resid_pdrop": self.resid_pdrop,
            "scale_attn_by_inverse_layer_idx": self.scale_attn_by_inverse_layer_idx,
            "scale_attn_weights": self.scale_attn_weights,
            "tie_word_embeddings": self.tie_word_embeddings,
            "vocab_size": self.vocab_size,
        });
        if let Value::Object(known) = known {
            object.extend(known);
        }
        if let Some(quantization) = self.quantization_config {
            object.insert("quantization_config".to_string(), quantization.to_json());
        }
        object.entry("architectures").or_insert_with(|| json!(["GPT2LMHeadModel"]));
        Value::Object(object)
    }

    /// Checks that the fields describe a model that can be built.
    ///
    /// # Errors
    /// [`Error::Field`] naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        for (field, value, most) in [
            ("vocab_size", self.vocab_size, limit::ROWS),
            ("n_positions", self.n_positions, limit::ROWS),
            ("n_embd", self.n_embd, limit::WIDTH),
            ("n_layer", self.n_layer, limit::LAYERS),
            ("n_head", self.n_head, limit::WIDTH),
            ("n_inner", self.n_inner.unwrap_or(1), limit::WIDTH),
        ] {
            if value == 0 || value > most {
                return Err(Error::field(field, value, format!("1 to {most}")));
            }
        }
        if !self.n_embd.is_multiple_of(self.n_head) {
            let expected = format!("a divisor of n_embd = {}", self.n_embd);
            return Err(Error::field("n_head", self.n_head, expected));
        }
        for (field, probability) in [
            ("resid_pdrop", self.resid_pdrop),
            ("embd_pdrop", self.embd_pdrop),
            ("attn_pdrop", self.attn_pdrop),
        ] {
            if !(0.0..1.0).contains(&probability) {
                return Err(Error::field(field, probability, "a probability in [0, 1)"));
            }
        }
        for (field, value) in [
            ("layer_norm_epsilon", self.layer_norm_epsilon),
            ("initializer_range", self.initializer_range),
        ] {
            if !value.is_finite() || value <= 0.0 {
                return Err(Error::field(field, value, "a positive number"));
            }
        }
        if self.parameter_count() > limit::PARAMETERS {
            let found = format!("{} (times the other sizes)", self.n_embd);
            return Err(Error::field("n_embd", found, "at most 10^11 parameters in all"));
        }
        Ok(())
    }
}

/// A folder of another architecture would fail later with a hundred missing tensors; say it here.
fn refuse_other_models(fields: &mut Fields) -> Result<()> {
    if let Some(found) = fields.optional_string("model_type")?
        && found != MODEL_TYPE
    {
        return Err(Error::field("model_type", format!("\"{found}\""), "\"gpt2\""));
    }
    if fields.peek_bool("add_cross_attention") {
        return Err(Error::field("add_cross_attention", true, "false (a decoder on its own)"));
    }
    Ok(())
}

/// `quantization_config`, an object or null.
fn quantization(fields: &mut Fields) -> Result<Option<Quantization>> {
    let object = |value: &Value| value.as_object().cloned();
    let object = fields.parse_or_null("quantization_config", None, "an object or null", object)?;
    object.map(|object| Quantization::from_json(&object)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_published_parameter_counts() {
        for (config, parameters) in [
            (Gpt2Config::gpt2(), 124_439_808),
            (Gpt2Config::gpt2_medium(), 354_823_168),
            (Gpt2Config::gpt2_large(), 774_030_080),
            (Gpt2Config::gpt2_xl(), 1_557_611_200),
        ] {
            config.validate().unwrap();
            assert_eq!(config.parameter_count(), parameters);
        }
    }

    #[test]
    fn a_config_survives_writing_and_reading() {
        let text =
            r#"{"n_layer": 2, "eos_token_id": [3, 4], "top_k": 50, "activation_function": "silu"}"#;
        let config = Gpt2Config::from_json(text).unwrap();
        assert_eq!(config.eos_token_id, [3, 4]);
        assert_eq!(config.extra["top_k"], 50);
        let again = Gpt2Config::from_json(&config.to_json().to_string()).unwrap();
        assert_eq!(again.to_json(), config.to_json());
        assert_eq!(again.activation_function, Activation::Silu);
    }

    #[test]
    fn n_ctx_stands_in_for_n_positions() {
        assert_eq!(Gpt2Config::from_json(r#"{"n_ctx": 77}"#).unwrap().n_positions, 77);
    }

    #[test]
    fn every_bad_field_is_named() {
        for (text, field) in [
            (r#"{"vocab_size": 0}"#, "vocab_size"),
            (r#"{"n_head": 5}"#, "n_head"),
            (r#"{"n_layer": 2.5}"#, "n_layer"),
            (r#"{"n_layer": -1}"#, "n_layer"),
            (r#"{"n_embd": null}"#, "n_embd"),
            (r#"{"n_embd": "eight"}"#, "n_embd"),
            (r#"{"n_positions": 4611686018427387904}"#, "n_positions"),
            (r#"{"n_inner": 0}"#, "n_inner"),
            (r#"{"resid_pdrop": 1.5}"#, "resid_pdrop"),
            (r#"{"layer_norm_epsilon": -1e-5}"#, "layer_norm_epsilon"),
            (r#"{"activation_function": "gelo"}"#, "activation_function"),
            (r#"{"model_type": "llama"}"#, "model_type"),
            (r#"{"eos_token_id": [1, -1]}"#, "eos_token_id"),
            (r#"{"tie_word_embeddings": 1}"#, "tie_word_embeddings"),
            (r#"{"add_cross_attention": true}"#, "add_cross_attention"),
        ] {
            let error = Gpt2Config::from_json(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{text}: {error}");
        }
    }
}
