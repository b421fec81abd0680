//! [`GenerationConfig`]: how text is continued, as `generation_config.json` holds it.

mod elsewhere;
mod length;
mod validate;

use std::path::Path;

use gpt2_core::Gpt2Config;
use gpt2_core::config::{Fields, read_object};
use serde_json::{Map, Value};

use crate::Result;

pub(crate) use length::Lengths;

/// File of a model folder that holds the defaults of generation.
const FILE: &str = "generation_config.json";

/// Fields of Hugging Face's class that this version implements, and `seed`, which is ours.
const FIELDS: [&str; 16] = [
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "num_return_sequences",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
    "seed",
];

/// Fields for which null is a value; elsewhere null leaves the lower layer's value.
const NULLABLE: [&str; 7] = [
    "max_length",
    "max_new_tokens",
    "min_new_tokens",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "seed",
];

/// Options of generation, under Hugging Face's names.
///
/// Source: `GenerationConfig` of `transformers` 5.23; defaults are those that its `generate` fills
/// in. Later versions add fields: build a value with `..GenerationConfig::default()`.
///
/// Values come in layers, each overriding the one below: the defaults, `config.json`
/// ([`from_model_config`](Self::from_model_config)), `generation_config.json`
/// ([`from_pretrained`](Self::from_pretrained) reads both), the caller's own
/// ([`merged`](Self::merged)).
///
/// # Example
/// ```
/// use gpt2_infer::GenerationConfig;
/// use serde_json::{Value, json};
///
/// let Value::Object(file) = json!({"do_sample": true, "top_k": 40, "eos_token_id": 0}) else {
///     unreachable!()
/// };
/// let Value::Object(options) = json!({"top_k": 20}) else { unreachable!() };
/// let config = GenerationConfig::from_object(file)?.merged(options)?;
/// assert!(config.do_sample && config.top_k == 20 && config.eos_token_id == [0]);
/// # Ok::<(), gpt2_infer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// Longest sequence in tokens, prompt included; `None` is the prompt and 20 more, but no more
    /// than the model's context.
    pub max_length: Option<usize>,
    /// Most tokens that are added to the prompt; overrides `max_length`.
    pub max_new_tokens: Option<usize>,
    /// Tokens, prompt included, before which no end-of-text token is chosen.
    pub min_length: usize,
    /// Tokens added to the prompt before an end-of-text token is chosen; overrides `min_length`.
    pub min_new_tokens: Option<usize>,
    /// Draw each token at random; otherwise the most likely one is taken, and `temperature`,
    /// `top_k` and `top_p` have no effect.
    pub do_sample: bool,
    /// Divides the scores; positive. Below 1 likely tokens become likelier.
    pub temperature: f64,
    /// Draw from this many of the most likely tokens; 0 is from all of them.
    pub top_k: usize,
    /// Draw from the fewest most likely tokens whose probabilities reach this sum; in (0, 1], 1 is
    /// from all of them.
    pub top_p: f64,
    /// Makes tokens that occurred already less likely (above 1) or likelier (below 1); positive.
    pub repetition_penalty: f64,
    /// No run of this many tokens occurs twice; 0 is off.
    pub no_repeat_ngram_size: usize,
    /// Sequences for each prompt; more than 1 need `do_sample`.
    pub num_return_sequences: usize,
    /// Begin-of-text token: what an empty prompt is replaced with.
    pub bos_token_id: Option<u32>,
    /// End-of-text tokens: after one of them a sequence is finished.
    pub eos_token_id: Vec<u32>,
    /// Padding token; checked but not used, since sequences are returned without padding.
    pub pad_token_id: Option<u32>,
    /// Keep keys and values of what was read. Without, every step reads the whole text again, for
    /// the same ids.
    pub use_cache: bool,
    /// Seed of the random draws; `None` draws one from the operating system. Not a field of
    /// `transformers`, which takes it from a global generator.
    pub seed: Option<u64>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_length: None,
            max_new_tokens: None,
            min_length: 0,
            min_new_tokens: None,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            num_return_sequences: 1,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            use_cache: true,
            seed: None,
        }
    }
}

impl GenerationConfig {
    /// The defaults, overridden by the fields of a JSON object, as by [`merged`](Self::merged).
    ///
    /// # Errors
    /// As [`merged`](Self::merged).
    pub fn from_object(object: Map<String, Value>) -> Result<Self> {
        Self::default().merged(object)
    }

    /// The generation defaults that older models keep in `config.json`, and its token ids.
    ///
    /// Keys that are no options of generation are passed over. So is a token id outside of the
    /// vocabulary: `Gpt2Config` fills in 50256 where the file is silent, which must not make a
    /// smaller model unusable. Equals `transformers`' `GenerationConfig.from_model_config` apart
    /// from that.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) as [`merged`](Self::merged).
    pub fn from_model_config(model: &Gpt2Config) -> Result<Self> {
        let known = |key: &str| FIELDS.contains(&key) || elsewhere::is_known(key);
        let options = model.extra.iter().filter(|(key, value)| known(key) && !value.is_null());
        let inside = |id: &u32| (*id as usize) < model.vocab_size;
        let ids = Self {
            bos_token_id: model.bos_token_id.filter(inside),
            eos_token_id: model.eos_token_id.iter().copied().filter(inside).collect(),
            pad_token_id: model.pad_token_id.filter(inside),
            ..Self::default()
        };
        ids.merged(options.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The generation defaults of a model folder: those of `model`, which is its `config.json`,
    /// overridden by `generation_config.json` where there is one.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when the file cannot be read or is not JSON,
    /// [`Error::Option`](crate::Error::Option) or
    /// [`Error::UnknownOption`](crate::Error::UnknownOption) naming file and field.
    pub fn from_pretrained(folder: impl AsRef<Path>, model: &Gpt2Config) -> Result<Self> {
        let folder = folder.as_ref();
        let config = Self::from_model_config(model)
            .map_err(|error| error.in_file(folder.join("config.json")))?;
        let path = folder.join(FILE);
        // A link that leads nowhere is reported as such rather than passed over.
        if path.symlink_metadata().is_err() {
            return Ok(config);
        }
        let config = config.merged(read_object(&path)?).map_err(|error| error.in_file(&path))?;
        config.check_ids(model.vocab_size).map_err(|error| error.in_file(&path))?;
        Ok(config)
    }

    /// These options, overridden by the fields of a JSON object.
    ///
    /// Null leaves a field as it is, except for those that are `Option`s here and
    /// `eos_token_id`, which it empties. A field of Hugging Face's class that this version does not
    /// implement is accepted where it changes nothing, and refused where it would. Records of how
    /// a file was made (`_from_model_config`, `transformers_version`) and what concerns only the
    /// form of Python's results (`output_scores`, `return_dict_in_generate`) are passed over.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) naming the field that has a wrong type or is out of
    /// range; [`Error::NotImplemented`](crate::Error::NotImplemented);
    /// [`Error::UnknownOption`](crate::Error::UnknownOption).
    pub fn merged(self, mut object: Map<String, Value>) -> Result<Self> {
        object.retain(|key, value| !value.is_null() || NULLABLE.contains(&key.as_str()));
        let given = |field: &str| object.contains_key(field);
        let [length, new, min_new, seed] =
            ["max_length", "max_new_tokens", "min_new_tokens", "seed"].map(given);
        let mut fields = Fields::new(object);
        let mut optional = |given: bool, field: &str, below: Option<usize>| match given {
            true => fields.optional_usize(field),
            false => Ok(below),
        };
        let max_length = optional(length, "max_length", self.max_length)?;
        let max_new_tokens = optional(new, "max_new_tokens", self.max_new_tokens)?;
        let min_new_tokens = optional(min_new, "min_new_tokens", self.min_new_tokens)?;
        let given_seed = optional(seed, "seed", None)?.map(|seed| seed as u64);
        let config = Self {
            max_length,
            max_new_tokens,
            min_length: fields.usize("min_length", self.min_length)?,
            min_new_tokens,
            do_sample: fields.bool("do_sample", self.do_sample)?,
            temperature: fields.f64("temperature", self.temperature)?,
            top_k: fields.usize("top_k", self.top_k)?,
            top_p: fields.f64("top_p", self.top_p)?,
            repetition_penalty: fields.f64("repetition_penalty", self.repetition_penalty)?,
            no_repeat_ngram_size: fields
                .usize("no_repeat_ngram_size", self.no_repeat_ngram_size)?,
            num_return_sequences: fields
                .usize("num_return_sequences", self.num_return_sequences)?,
            bos_token_id: fields.token_id("bos_token_id", self.bos_token_id)?,
            eos_token_id: fields.token_ids("eos_token_id", self.eos_token_id)?,
            pad_token_id: fields.token_id("pad_token_id", self.pad_token_id)?,
            use_cache: fields.bool("use_cache", self.use_cache)?,
            seed: if seed { given_seed } else { self.seed },
        };
        elsewhere::refuse(fields.rest())?;
        config.check_ranges()?;
        Ok(config)
    }
}
