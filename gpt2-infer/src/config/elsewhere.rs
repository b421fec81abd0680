//! Fields of Hugging Face's `GenerationConfig` that this version does not implement.

use gpt2_core::config::shown;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Records of how a file was made, the form of Python's results, and what changes only the speed
/// or concerns only encoder-decoder models: the ids are the same whatever they say.
const IGNORED: [&str; 28] = [
    "_commit_hash",
    "_from_model_config",
    "_original_object_hash",
    "assistant_early_exit",
    "assistant_lookbehind",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "decoder_start_token_id",
    "disable_compile",
    "generation_kwargs",
    "is_assistant",
    "low_memory",
    "max_cache_len",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "prefill_chunk_size",
    "return_dict",
    "return_dict_in_generate",
    "return_legacy_cache",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "use_mtp",
];

/// A value at which a field changes nothing; null is one for every field.
enum Neutral {
    Null,
    Number(f64),
    /// A count; less than 1 is wrong in any version.
    One,
    False,
}

/// Fields that change the ids, each with the value at which it does not.
const REFUSED: [(&str, Neutral); 14] = [
    ("assistant_ensemble_weight", Neutral::Null),
    ("constraints", Neutral::Null),
    ("diversity_penalty", Neutral::Number(0.0)),
    ("dola_layers", Neutral::Null),
    ("encoder_no_repeat_ngram_size", Neutral::Number(0.0)),
    ("encoder_repetition_penalty", Neutral::Number(1.0)),
    ("force_words_ids", Neutral::Null),
    ("forced_decoder_ids", Neutral::Null),
    ("guidance_scale", Neutral::Number(1.0)),
    ("num_beam_groups", Neutral::One),
    ("penalty_alpha", Neutral::Number(0.0)),
    ("token_healing", Neutral::False),
    ("top_h", Neutral::Null),
    ("watermarking_config", Neutral::Null),
];

/// Whether a key is a field of Hugging Face's class that this version does not implement.
pub(super) fn is_known(key: &str) -> bool {
    IGNORED.contains(&key) || REFUSED.iter().any(|(field, _)| *field == key)
}

/// Refuses fields that would change the ids, and keys that nobody knows.
///
/// # Errors
/// [`Error::NotImplemented`], [`Error::Option`] or [`Error::UnknownOption`] naming the first of
/// them.
pub(super) fn refuse(rest: Map<String, Value>) -> Result<()> {
    for (key, value) in rest {
        if value.is_null() || IGNORED.contains(&key.as_str()) {
            continue;
        }
        match REFUSED.iter().find(|(field, _)| *field == key) {
            Some((_, neutral)) if neutral.is(&value) => {}
            Some((_, Neutral::One)) if value.as_u64().is_none_or(|count| count == 0) => {
                return Err(Error::option(&key, shown(&value), "a whole number of at least 1"));
            }
            Some((_, neutral)) => {
                let (found, expected) = (shown(&value), neutral.expected());
                return Err(Error::NotImplemented { path: None, option: key, found, expected });
            }
            None => return Err(Error::UnknownOption { path: None, option: key }),
        }
    }
    Ok(())
}

impl Neutral {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Null => value.as_array().is_some_and(Vec::is_empty),
            Self::Number(neutral) => value.as_f64() == Some(*neutral),
            Self::One => value.as_u64() == Some(1),
            Self::False => value.as_bool() == Some(false),
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::Null => "null".to_string(),
            Self::Number(neutral) => neutral.to_string(),
            Self::One => "1".to_string(),
            Self::False => "false".to_string(),
        }
    }
}
