//! Processors: what changes the scores of the next token before one is chosen.
//!
//! Each is a type of its own behind [`LogitsProcessor`], so that they can be put together in any
//! way; [`LogitsProcessors::from_config`] does it as `transformers` does.

mod bad_words_ids;
mod begin_suppress_tokens;
mod epsilon_cutoff;
mod eta_cutoff;
mod exponential_decay_length_penalty;
mod forced_bos_token_id;
mod forced_eos_token_id;
mod from_config;
mod min_length;
mod min_new_tokens;
mod min_p;
mod no_repeat_ngram;
mod part;
mod prefix_allowed_tokens;
mod remove_invalid_values;
mod renormalize_logits;
mod repetition_penalty;
mod scratch;
mod select;
mod sequence_bias;
mod suppress_tokens;
mod temperature;
mod top_k;
mod top_p;
mod typical_p;

pub use bad_words_ids::NoBadWords;
pub use begin_suppress_tokens::BeginSuppressTokens;
pub use epsilon_cutoff::EpsilonCutoff;
pub use eta_cutoff::EtaCutoff;
pub use exponential_decay_length_penalty::ExponentialDecayLengthPenalty;
pub use forced_bos_token_id::ForcedBosToken;
pub use forced_eos_token_id::ForcedEosToken;
pub use min_length::MinLength;
pub use min_new_tokens::MinNewTokens;
pub use min_p::MinP;
pub use no_repeat_ngram::NoRepeatNGram;
pub use prefix_allowed_tokens::PrefixAllowedTokens;
pub use remove_invalid_values::RemoveInvalidValues;
pub use renormalize_logits::RenormalizeLogits;
pub use repetition_penalty::RepetitionPenalty;
pub use sequence_bias::SequenceBias;
pub use suppress_tokens::SuppressTokens;
pub use temperature::Temperature;
pub use top_k::TopK;
pub use top_p::TopP;
pub use typical_p::TypicalP;

pub(crate) use select::kth_largest;

use std::fmt::Debug;

use dyn_clone::DynClone;
use gpt2_core::ops::SampleOptions;

use crate::{Error, Result};

/// Score of a token that must not be chosen.
pub const EXCLUDED: f32 = f32::NEG_INFINITY;

/// Changes the scores of the next token of one sequence.
///
/// It is `Clone`, since every sequence has processors of its own.
/// [`Generator::with_processor`](crate::Generator::with_processor) takes one of yours.
///
/// # Example
/// ```
/// use gpt2_infer::logits::{EXCLUDED, LogitsProcessor};
///
/// /// Lets no token follow itself.
/// #[derive(Debug, Clone)]
/// struct NoEcho;
///
/// impl LogitsProcessor for NoEcho {
///     fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
///         if let Some(score) = ids.last().and_then(|&id| scores.get_mut(id as usize)) {
///             *score = EXCLUDED;
///         }
///     }
/// }
///
/// let mut scores = [1.0, 2.0];
/// NoEcho.process(&[0, 1], &mut scores);
/// assert_eq!(scores, [1.0, EXCLUDED]);
/// ```
pub trait LogitsProcessor: Debug + DynClone + Send + Sync {
    /// Changes `scores`, one for each token of the vocabulary, in place; [`EXCLUDED`] rules a
    /// token out.
    ///
    /// `ids` is the sequence so far, prompt included and without padding. What a processor keeps
    /// between steps may save work, but steps need not come in the order of one text.
    fn process(&mut self, ids: &[u32], scores: &mut [f32]);

    /// Changes the scores of all beams of one prompt, one row of `scores` for each of `beams`.
    ///
    /// Each is processed on its own unless a processor says otherwise.
    fn process_beams(&mut self, beams: &[&[u32]], scores: &mut [f32]) {
        let vocab = scores.len() / beams.len().max(1);
        for (ids, scores) in beams.iter().zip(scores.chunks_exact_mut(vocab.max(1))) {
            self.process(ids, scores);
        }
    }
}

dyn_clone::clone_trait_object!(LogitsProcessor);

impl LogitsProcessor for Box<dyn LogitsProcessor> {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        (**self).process(ids, scores);
    }

    fn process_beams(&mut self, beams: &[&[u32]], scores: &mut [f32]) {
        (**self).process_beams(beams, scores);
    }
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
#[derive(Debug, Clone)]
pub struct LogitsProcessors {
    list: Vec<Box<dyn LogitsProcessor>>,
    /// What does the same where the logits are, if anything does.
    options: Option<SampleOptions>,
}

impl Default for LogitsProcessors {
    fn default() -> Self {
        Self { list: Vec::new(), options: Some(SampleOptions::default()) }
    }
}

impl LogitsProcessors {
    /// No processor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a processor that is applied after the others.
    pub fn push(&mut self, processor: impl LogitsProcessor + 'static) {
        self.list.push(Box::new(processor));
        self.options = None;
    }

    /// As [`push`](Self::push), of one that the options of a device can stand for behind what they stand for already.
    fn push_known(
        &mut self,
        processor: impl LogitsProcessor + 'static,
        with: impl FnOnce(SampleOptions) -> SampleOptions,
    ) {
        let options = self.options;
        self.push(processor);
        self.options = options.map(with);
    }

    /// The options with which the model's device does what these do; `None` where only the host can.
    pub(crate) fn for_a_device(&self) -> Option<SampleOptions> {
        self.options
    }

    /// Adds all of another list, to be applied after the others.
    pub fn append(&mut self, others: Self) {
        if !others.is_empty() {
            self.options = None;
        }
        self.list.extend(others.list);
    }

    /// Applies all processors to the scores of one sequence, in their order.
    pub fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        for processor in &mut self.list {
            processor.process(ids, scores);
        }
    }

    /// Applies all processors to the scores of the beams of one prompt, one row of `scores` for
    /// each of `beams`.
    pub fn process_beams(&mut self, beams: &[&[u32]], scores: &mut [f32]) {
        for processor in &mut self.list {
            processor.process_beams(beams, scores);
        }
    }

    /// Number of processors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether scores are left as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
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

/// Leaves each of `ids`, equally likely, and no other.
fn force(ids: &[u32], scores: &mut [f32]) {
    scores.fill(EXCLUDED);
    for &id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = 0.0;
        }
    }
}

/// `value` if it is above 0 and below 1.
fn inside_unit(option: &str, value: f64) -> Result<f64> {
    match value > 0.0 && value < 1.0 {
        true => Ok(value),
        false => Err(Error::option(option, value, "a number above 0 and below 1")),
    }
}

/// `min_tokens_to_keep` if it is not 0.
fn at_least_one(min_tokens_to_keep: usize) -> Result<usize> {
    match min_tokens_to_keep {
        0 => Err(Error::option("min_tokens_to_keep", 0, "at least 1")),
        least => Ok(least),
    }
}

/// Ids that a processor leaves of tokens with these probabilities.
#[cfg(test)]
fn kept_of(mut processor: impl LogitsProcessor, probabilities: &[f64]) -> Vec<usize> {
    let mut scores: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
    processor.process(&[], &mut scores);
    (0..scores.len()).filter(|&at| scores[at] != EXCLUDED).collect()
}
