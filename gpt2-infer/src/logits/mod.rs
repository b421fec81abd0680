//! Processors: what changes the scores of the next token before one is chosen.
//!
//! Each is a type of its own behind [`LogitsProcessor`], so that they can be put together in any
//! way; [`LogitsProcessors::from_config`] does it as `transformers` does.

mod min_length;
mod min_new_tokens;
mod no_repeat_ngram;
mod repetition_penalty;
mod temperature;
mod top_k;
mod top_p;

pub use min_length::MinLength;
pub use min_new_tokens::MinNewTokens;
pub use no_repeat_ngram::NoRepeatNGram;
pub use repetition_penalty::RepetitionPenalty;
pub use temperature::Temperature;
pub use top_k::TopK;
pub use top_p::TopP;

use std::fmt::Debug;

use crate::{GenerationConfig, Result};

/// Score of a token that must not be chosen.
pub const EXCLUDED: f32 = f32::NEG_INFINITY;

/// Changes the scores of the next token of one sequence.
pub trait LogitsProcessor: Debug + Send + Sync {
    /// Changes `scores`, one for each token of the vocabulary, in place; [`EXCLUDED`] rules a
    /// token out.
    ///
    /// `ids` is the sequence so far, prompt included and without padding.
    fn process(&self, ids: &[u32], scores: &mut [f32]);
}

/// Processors that are applied one after the other.
///
/// # Example
/// ```
/// use gpt2_infer::logits::{EXCLUDED, LogitsProcessors, Temperature, TopK};
///
/// let mut processors = LogitsProcessors::new();
/// processors.push(Temperature::new(0.5)?);
/// processors.push(TopK::new(2)?);
/// let mut scores = [1.0, 3.0, 2.0];
/// processors.process(&[0], &mut scores);
/// assert_eq!(scores, [EXCLUDED, 6.0, 4.0]);
/// # Ok::<(), gpt2_infer::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct LogitsProcessors(Vec<Box<dyn LogitsProcessor>>);

impl LogitsProcessors {
    /// No processor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The processors that the options ask for, for a sequence whose prompt has `prompt_length`
    /// tokens.
    ///
    /// Equals the list and order of `transformers`' `generate`: temperature, top-k and top-p come
    /// last, and only with `do_sample`.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) naming an option that is out of range.
    pub fn from_config(config: &GenerationConfig, prompt_length: usize) -> Result<Self> {
        let mut list = Self::new();
        if config.repetition_penalty != 1.0 {
            list.push(RepetitionPenalty::new(config.repetition_penalty)?);
        }
        if config.no_repeat_ngram_size > 0 {
            list.push(NoRepeatNGram::new(config.no_repeat_ngram_size)?);
        }
        let ends = &config.eos_token_id;
        match config.min_new_tokens {
            _ if ends.is_empty() => {}
            Some(0) => {}
            Some(least) => list.push(MinNewTokens::new(least, prompt_length, ends.clone())),
            None if config.min_length > 0 => {
                list.push(MinLength::new(config.min_length, ends.clone()));
            }
            None => {}
        }
        if config.do_sample {
            list.push_warpers(config)?;
        }
        Ok(list)
    }

    /// Those that shape the distribution which a token is drawn from.
    fn push_warpers(&mut self, config: &GenerationConfig) -> Result<()> {
        if config.temperature != 1.0 {
            self.push(Temperature::new(config.temperature)?);
        }
        if config.top_k > 0 {
            self.push(TopK::new(config.top_k)?);
        }
        if config.top_p != 1.0 {
            self.push(TopP::new(config.top_p)?);
        }
        Ok(())
    }

    /// Adds a processor that is applied after the others.
    pub fn push(&mut self, processor: impl LogitsProcessor + 'static) {
        self.0.push(Box::new(processor));
    }

    /// Applies all processors, in their order.
    pub fn process(&self, ids: &[u32], scores: &mut [f32]) {
        for processor in &self.0 {
            processor.process(ids, scores);
        }
    }

    /// Number of processors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether scores are left as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Rules out each of `ids`; an id outside of the vocabulary cannot be chosen anyway.
fn exclude(ids: &[u32], scores: &mut [f32]) {
    for &id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = EXCLUDED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_come_in_the_order_of_transformers() {
        let config = GenerationConfig {
            do_sample: true,
            temperature: 0.8,
            top_k: 60,
            top_p: 0.9,
            repetition_penalty: 1.1,
            no_repeat_ngram_size: 3,
            min_new_tokens: Some(6),
            eos_token_id: vec![0],
            ..GenerationConfig::default()
        };
        let list = LogitsProcessors::from_config(&config, 4).unwrap();
        let shown: Vec<_> = list.0.iter().map(|processor| format!("{processor:?}")).collect();
        let order =
            ["RepetitionPenalty", "NoRepeatNGram", "MinNewTokens", "Temperature", "TopK", "TopP"];
        assert_eq!(list.len(), order.len());
        for (shown, name) in shown.iter().zip(order) {
            assert!(shown.starts_with(&format!("{name} ")), "{shown} is not {name}");
        }
    }

    #[test]
    fn what_shapes_the_draw_is_left_out_without_a_draw() {
        let config =
            GenerationConfig { temperature: 0.8, top_k: 5, top_p: 0.5, ..Default::default() };
        assert!(LogitsProcessors::from_config(&config, 1).unwrap().is_empty());
    }

    #[test]
    fn neutral_options_need_no_processor() {
        let config = GenerationConfig {
            do_sample: true,
            top_k: 0,
            min_length: 9,
            ..GenerationConfig::default()
        };
        // A minimum length without an end-of-text token has nothing to rule out.
        assert!(LogitsProcessors::from_config(&config, 1).unwrap().is_empty());
    }

    #[test]
    fn the_minimum_of_new_tokens_overrides_the_minimum_length() {
        let config = GenerationConfig {
            min_length: 100,
            min_new_tokens: Some(1),
            eos_token_id: vec![1],
            ..GenerationConfig::default()
        };
        let list = LogitsProcessors::from_config(&config, 2).unwrap();
        let mut scores = [0.0; 2];
        list.process(&[0; 3], &mut scores);
        assert_eq!(scores, [0.0; 2]);
    }
}
