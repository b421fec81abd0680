//! From a JSON object to options, field by field, so that an error names the field.

use gpt2_core::config::{Fields, token_id};
use serde_json::{Map, Value};

use super::{EarlyStopping, GenerationConfig};
use crate::Result;

/// Fields that `transformers` does not have.
pub(super) const OURS: [&str; 4] = ["seed", "truncate_prompt", "sliding_window", "log_probs"];

/// Every field of [`GenerationConfig`].
pub(super) const FIELDS: [&str; 41] = [
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "max_time",
    "stop_strings",
    "do_sample",
    "num_beams",
    "length_penalty",
    "early_stopping",
    "num_return_sequences",
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "assistant_confidence_threshold",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "sequence_bias",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "remove_invalid_values",
    "renormalize_logits",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
    "seed",
    "truncate_prompt",
    "sliding_window",
    "log_probs",
];

/// Fields for which null is a value; elsewhere null leaves the lower layer's value.
const NULLABLE: [&str; 19] = [
    "max_length",
    "max_new_tokens",
    "min_new_tokens",
    "max_time",
    "stop_strings",
    "prompt_lookup_num_tokens",
    "min_p",
    "bad_words_ids",
    "sequence_bias",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "seed",
    "sliding_window",
];

impl GenerationConfig {
    /// These options, overridden by the fields of an object; and what is no field.
    pub(super) fn overridden(
        self,
        mut object: Map<String, Value>,
    ) -> Result<(Self, Map<String, Value>)> {
        object.retain(|key, value| !value.is_null() || NULLABLE.contains(&key.as_str()));
        let mut rest = Fields::new(object);
        let fields = &mut rest;
        let config = self.with_lengths(fields)?.with_strategy(fields)?;
        let config = config.with_warpers(fields)?.with_processors(fields)?;
        let config = Self {
            bos_token_id: fields.token_id("bos_token_id", config.bos_token_id)?,
            eos_token_id: fields.token_ids("eos_token_id", config.eos_token_id)?,
            pad_token_id: fields.token_id("pad_token_id", config.pad_token_id)?,
            use_cache: fields.bool("use_cache", config.use_cache)?,
            seed: fields.parse_or_null("seed", config.seed, COUNT, Value::as_u64)?,
            truncate_prompt: fields.bool("truncate_prompt", config.truncate_prompt)?,
            sliding_window: count(fields, "sliding_window", config.sliding_window)?,
            log_probs: fields.bool("log_probs", config.log_probs)?,
            ..config
        };
        Ok((config, rest.rest()))
    }

    fn with_lengths(self, fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            max_length: count(fields, "max_length", self.max_length)?,
            max_new_tokens: count(fields, "max_new_tokens", self.max_new_tokens)?,
            min_length: fields.usize("min_length", self.min_length)?,
            min_new_tokens: count(fields, "min_new_tokens", self.min_new_tokens)?,
            max_time: number(fields, "max_time", self.max_time)?,
            stop_strings: list(fields, "stop_strings", self.stop_strings, STRINGS, strings)?,
            ..self
        })
    }

    fn with_strategy(self, fields: &mut Fields) -> Result<Self> {
        let lookup = "prompt_lookup_num_tokens";
        Ok(Self {
            do_sample: fields.bool("do_sample", self.do_sample)?,
            num_beams: fields.usize("num_beams", self.num_beams)?,
            length_penalty: fields.f64("length_penalty", self.length_penalty)?,
            early_stopping: fields.parse(
                "early_stopping",
                self.early_stopping,
                "true, false or \"never\"",
                early_stopping,
            )?,
            num_return_sequences: fields
                .usize("num_return_sequences", self.num_return_sequences)?,
            prompt_lookup_num_tokens: count(fields, lookup, self.prompt_lookup_num_tokens)?,
            max_matching_ngram_size: fields
                .usize("max_matching_ngram_size", self.max_matching_ngram_size)?,
            num_assistant_tokens: fields
                .usize("num_assistant_tokens", self.num_assistant_tokens)?,
            assistant_confidence_threshold: fields
                .f64("assistant_confidence_threshold", self.assistant_confidence_threshold)?,
            ..self
        })
    }

    fn with_warpers(self, fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            temperature: fields.f64("temperature", self.temperature)?,
            top_k: fields.usize("top_k", self.top_k)?,
            top_p: fields.f64("top_p", self.top_p)?,
            min_p: number(fields, "min_p", self.min_p)?,
            typical_p: fields.f64("typical_p", self.typical_p)?,
            epsilon_cutoff: fields.f64("epsilon_cutoff", self.epsilon_cutoff)?,
            eta_cutoff: fields.f64("eta_cutoff", self.eta_cutoff)?,
            ..self
        })
    }

    fn with_processors(self, fields: &mut Fields) -> Result<Self> {
        let (bias, decay) = ("sequence_bias", "exponential_decay_length_penalty");
        let begin = "begin_suppress_tokens";
        Ok(Self {
            repetition_penalty: fields.f64("repetition_penalty", self.repetition_penalty)?,
            no_repeat_ngram_size: fields
                .usize("no_repeat_ngram_size", self.no_repeat_ngram_size)?,
            bad_words_ids: list(fields, "bad_words_ids", self.bad_words_ids, RUNS, runs)?,
            sequence_bias: list(fields, bias, self.sequence_bias, BIASES, biases)?,
            suppress_tokens: list(fields, "suppress_tokens", self.suppress_tokens, IDS, ids)?,
            begin_suppress_tokens: list(fields, begin, self.begin_suppress_tokens, IDS, ids)?,
            forced_bos_token_id: fields
                .token_id("forced_bos_token_id", self.forced_bos_token_id)?,
            forced_eos_token_id: fields
                .token_ids("forced_eos_token_id", self.forced_eos_token_id)?,
            exponential_decay_length_penalty: fields.parse_or_null(
                decay,
                self.exponential_decay_length_penalty,
                "a start and a factor, such as [10, 1.05], or null",
                start_and_factor,
            )?,
            remove_invalid_values: fields
                .bool("remove_invalid_values", self.remove_invalid_values)?,
            renormalize_logits: fields.bool("renormalize_logits", self.renormalize_logits)?,
            ..self
        })
    }
}

const COUNT: &str = "a whole number or null";
const STRINGS: &str = "a string, a list of strings or null";
const RUNS: &str = "a list of lists of token ids, or null";
const BIASES: &str = "a list of pairs of token ids and a bias, such as [[[7, 8], -2.5]], or null";
const IDS: &str = "a list of token ids, or null";

fn count(fields: &mut Fields, field: &str, below: Option<usize>) -> Result<Option<usize>> {
    let read = |value: &Value| usize::try_from(value.as_u64()?).ok();
    Ok(fields.parse_or_null(field, below, COUNT, read)?)
}

fn number(fields: &mut Fields, field: &str, below: Option<f64>) -> Result<Option<f64>> {
    Ok(fields.parse_or_null(field, below, "a number or null", Value::as_f64)?)
}

/// A list, which null empties.
fn list<T>(
    fields: &mut Fields,
    field: &str,
    below: Vec<T>,
    expected: &str,
    read: fn(&Value) -> Option<Vec<T>>,
) -> Result<Vec<T>> {
    Ok(fields.parse_or_null(field, Some(below), expected, read)?.unwrap_or_default())
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let string = |value: &Value| value.as_str().map(str::to_string);
    match value {
        Value::Array(values) => values.iter().map(string).collect(),
        one => string(one).map(|one| vec![one]),
    }
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(token_id).collect()
}

fn runs(value: &Value) -> Option<Vec<Vec<u32>>> {
    value.as_array()?.iter().map(ids).collect()
}

fn biases(value: &Value) -> Option<Vec<(Vec<u32>, f64)>> {
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [run, bias] => Some((ids(run)?, bias.as_f64()?)),
        _ => None,
    };
    value.as_array()?.iter().map(pair).collect()
}

fn early_stopping(value: &Value) -> Option<EarlyStopping> {
    match value {
        Value::Bool(false) => Some(EarlyStopping::False),
        Value::Bool(true) => Some(EarlyStopping::True),
        Value::String(word) if word == "never" => Some(EarlyStopping::Never),
        _ => None,
    }
}

fn start_and_factor(value: &Value) -> Option<(usize, f64)> {
    match value.as_array()?.as_slice() {
        [start, factor] => Some((usize::try_from(start.as_u64()?).ok()?, factor.as_f64()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A misspelt name in the list would let a field of `config.json` pass unread.
    #[test]
    fn every_field_of_the_list_is_read() {
        for field in FIELDS {
            let object = Map::from_iter([(field.to_string(), Value::from(vec![Value::Null]))]);
            let error = GenerationConfig::default().overridden(object).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{field}` is [null]")), "{error}");
        }
        assert!(NULLABLE.iter().chain(&OURS).all(|field| FIELDS.contains(field)));
    }
}
