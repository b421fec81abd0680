//! [`GenerationConfig`]: how text is continued, as `generation_config.json` holds it.

mod elsewhere;
mod length;
mod read;
mod validate;

use std::path::Path;

use gpt2_core::Gpt2Config;
use gpt2_core::config::read_object;
use serde_json::{Map, Value};

use crate::Result;

pub(crate) use length::{Lengths, kept};

/// File of a model folder that holds the defaults of generation.
const FILE: &str = "generation_config.json";

/// Options of generation, under Hugging Face's names.
///
/// Source: `GenerationConfig` of `transformers` 5.23; defaults are those that its `generate` fills
/// in. Later versions add fields: build a value with `..GenerationConfig::default()`.
///
/// Values come in layers, each overriding the one below: the defaults, `config.json`
/// ([`from_model_config`](Self::from_model_config)), `generation_config.json`
/// ([`from_pretrained`](Self::from_pretrained) reads both), the caller's own
/// ([`merged`](Self::merged)). `seed`, `truncate_prompt`, `sliding_window` and `log_probs`, which
/// `transformers` does not have, count in all but `config.json`: that file holds many keys that are
/// no options of generation, and a `seed` among them is one of training.
///
/// The strategy follows from the options, as in `transformers`: `num_beams` above 1 is beam search,
/// with `do_sample` beam sampling; otherwise `do_sample` draws each token and its absence takes the
/// likeliest one. `prompt_lookup_num_tokens` and a
/// [draft model](crate::Generator::with_draft_model) make both of the latter faster and change
/// nothing else.
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
    // How long.
    /// Longest sequence in tokens, prompt included; `None` is the prompt and 20 more, but no more
    /// than the model's context. `max_new_tokens` overrides it, also one that comes from the model
    /// folder: [`with_max_length`](Self::with_max_length) sets this and clears that.
    pub max_length: Option<usize>,
    /// Most tokens that are added to the prompt; overrides `max_length`.
    pub max_new_tokens: Option<usize>,
    /// Tokens, prompt included, before which no end-of-text token is chosen. `min_new_tokens`
    /// overrides it: [`with_min_length`](Self::with_min_length) sets this and clears that.
    pub min_length: usize,
    /// Tokens added to the prompt before an end-of-text token is chosen; overrides `min_length`.
    pub min_new_tokens: Option<usize>,
    /// Seconds after which no further token is begun; positive. One token of each sequence is made
    /// however short the time, except of those that wait for
    /// [memory](crate::Generator::with_memory_limit).
    pub max_time: Option<f64>,
    /// Texts that end a sequence as soon as it contains one of them, wherever the borders of
    /// tokens are; the sequence keeps the token that completes it. They need a
    /// [tokenizer](crate::Generator::with_tokenizer).
    pub stop_strings: Vec<String>,

    // Which strategy.
    /// Draw each token at random; otherwise the most likely one is taken, and `temperature`,
    /// `top_k`, `top_p`, `min_p`, `typical_p`, `epsilon_cutoff` and `eta_cutoff` have no effect.
    pub do_sample: bool,
    /// Texts that are followed side by side, to find the likeliest whole; 1 is no beam search.
    pub num_beams: usize,
    /// Exponent of the length that a beam's score is divided by: above 0 long texts gain, below 0
    /// short ones.
    pub length_penalty: f64,
    /// When beam search ends.
    pub early_stopping: EarlyStopping,
    /// Sequences for each prompt; more than 1 need `do_sample`, or as many beams.
    pub num_return_sequences: usize,
    /// Guess so many tokens at a time by looking up what followed the last ones where they occurred
    /// before. The result is the same, sooner where texts repeat themselves.
    pub prompt_lookup_num_tokens: Option<usize>,
    /// Longest run of tokens that is looked up by `prompt_lookup_num_tokens`.
    pub max_matching_ngram_size: usize,
    /// Most tokens that a [draft model](crate::Generator::with_draft_model) guesses at a time.
    pub num_assistant_tokens: usize,
    /// A draft model stops guessing at a token that it gives less than this probability; in [0, 1].
    pub assistant_confidence_threshold: f64,

    // What changes the scores.
    /// Divides the scores; positive. Below 1 likely tokens become likelier.
    pub temperature: f64,
    /// Draw from this many of the most likely tokens; 0 is from all of them.
    pub top_k: usize,
    /// Draw from the fewest most likely tokens whose probabilities reach this sum; in (0, 1], 1 is
    /// from all of them.
    pub top_p: f64,
    /// Draw from tokens at least this many times as likely as the likeliest one; in [0, 1].
    pub min_p: Option<f64>,
    /// Draw from the tokens nearest to the expected information whose probabilities reach this sum;
    /// in (0, 1], 1 is from all of them.
    pub typical_p: f64,
    /// Draw from tokens at least this likely; in [0, 1), 0 is from all of them.
    pub epsilon_cutoff: f64,
    /// As `epsilon_cutoff`, but lower where the distribution is flat; in [0, 1).
    pub eta_cutoff: f64,
    /// Makes tokens that occurred already less likely (above 1) or likelier (below 1); positive.
    pub repetition_penalty: f64,
    /// No run of this many tokens occurs twice; 0 is off.
    pub no_repeat_ngram_size: usize,
    /// Runs of tokens that never occur.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// What is added to the score of the last token of a run of tokens, where the others precede.
    pub sequence_bias: Vec<(Vec<u32>, f64)>,
    /// Tokens that are never chosen.
    pub suppress_tokens: Vec<u32>,
    /// Tokens that are not chosen directly behind the prompt.
    pub begin_suppress_tokens: Vec<u32>,
    /// The token that follows a prompt of one token.
    pub forced_bos_token_id: Option<u32>,
    /// The tokens that one of has to come last where the maximum length is reached.
    pub forced_eos_token_id: Vec<u32>,
    /// Makes the end of the text likelier the longer it is: tokens behind the prompt after which it
    /// begins, and the factor of each further token.
    pub exponential_decay_length_penalty: Option<(usize, f64)>,
    /// Replace NaN by 0 and infinities by the largest numbers, where a model gives such scores.
    pub remove_invalid_values: bool,
    /// Make the processed scores logarithms of probabilities; matters to the scores of beams.
    pub renormalize_logits: bool,

    // Tokens.
    /// Begin-of-text token: what an empty prompt is replaced with.
    pub bos_token_id: Option<u32>,
    /// End-of-text tokens: after one of them a sequence is finished.
    pub eos_token_id: Vec<u32>,
    /// Padding token; checked but not used, since sequences are returned without padding.
    pub pad_token_id: Option<u32>,

    // How it is computed; the last four are not fields of `transformers`, nor read from `config.json`.
    /// Keep keys and values of what was read. Without, every step reads the whole text again, for
    /// the same ids.
    pub use_cache: bool,
    /// Seed of the random draws; `None` draws one from the operating system. `transformers` takes
    /// it from a global generator.
    pub seed: Option<u64>,
    /// Keep the last tokens of a prompt that is too long for the context, so many that what is to be
    /// added fits behind them (20 tokens where only `max_length` limits it); otherwise such a prompt
    /// is an error.
    pub truncate_prompt: bool,
    /// Let the text outgrow the context: whenever it is full, the model goes on with the last so
    /// many tokens, which it reads again from position 0. A small number reads again seldom and
    /// forgets more; `n_positions` forgets least and reads the whole window for every token.
    pub sliding_window: Option<usize>,
    /// Report the log-probability of every token that is chosen.
    pub log_probs: bool,
}

/// When beam search ends, once there are as many finished beams as `num_beams`.
///
/// Source: `early_stopping` of `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// `false`: when the best unfinished beam, were it to end now, is worse than all of them.
    #[default]
    False,
    /// `true`: at once.
    True,
    /// `"never"`: when no unfinished beam can get better than the worst of them.
    Never,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_length: None,
            max_new_tokens: None,
            min_length: 0,
            min_new_tokens: None,
            max_time: None,
            stop_strings: Vec::new(),
            do_sample: false,
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::False,
            num_return_sequences: 1,
            prompt_lookup_num_tokens: None,
            max_matching_ngram_size: 2,
            num_assistant_tokens: 20,
            assistant_confidence_threshold: 0.4,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: None,
            typical_p: 1.0,
            epsilon_cutoff: 0.0,
            eta_cutoff: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            bad_words_ids: Vec::new(),
            sequence_bias: Vec::new(),
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
            forced_bos_token_id: None,
            forced_eos_token_id: Vec::new(),
            exponential_decay_length_penalty: None,
            remove_invalid_values: false,
            renormalize_logits: false,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            use_cache: true,
            seed: None,
            truncate_prompt: false,
            sliding_window: None,
            log_probs: false,
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
    /// Keys that are no options of generation in `transformers` are passed over. So is a token id
    /// outside of the vocabulary: `Gpt2Config` fills in 50256 where the file is silent, which must not make a
    /// smaller model unusable. Equals `transformers`' `GenerationConfig.from_model_config` apart
    /// from that.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) as [`merged`](Self::merged).
    pub fn from_model_config(model: &Gpt2Config) -> Result<Self> {
        let known = |key: &str| {
            let read = read::FIELDS.contains(&key) && !read::OURS.contains(&key);
            read || elsewhere::is_known(key)
        };
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

    /// These options with a longest sequence of so many tokens, prompt included, whatever they said
    /// of new tokens.
    #[must_use]
    pub fn with_max_length(self, max_length: usize) -> Self {
        Self { max_length: Some(max_length), max_new_tokens: None, ..self }
    }

    /// These options with a shortest sequence of so many tokens, prompt included, whatever they said
    /// of new tokens.
    #[must_use]
    pub fn with_min_length(self, min_length: usize) -> Self {
        Self { min_length, min_new_tokens: None, ..self }
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
    pub fn merged(self, object: Map<String, Value>) -> Result<Self> {
        let (config, rest) = self.overridden(object)?;
        elsewhere::refuse(rest)?;
        config.check_ranges()?;
        Ok(config)
    }
}
