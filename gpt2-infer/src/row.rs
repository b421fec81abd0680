//! One sequence while it grows, and when it is finished.

use gpt2_core::ops::NoChoice;

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::probability::log_probability;
use crate::sample::Sampler;
use crate::stop::StopMatcher;
use crate::{Error, Result};

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// Its last token is an end-of-text token.
    Eos,
    /// Its last token completes a stop string.
    StopString,
    /// It has as many tokens as it may have.
    Length,
    /// The time is over.
    Time,
    /// The caller wanted no more.
    Cancelled,
}

impl FinishReason {
    /// A word for it, as programs like to read it: `eos`, `stop_string`, `length`, `time`,
    /// `cancelled`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::StopString => "stop_string",
            Self::Length => "length",
            Self::Time => "time",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A continued prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sequence {
    /// Prompt and continuation, an end-of-text token included, without padding.
    pub ids: Vec<u32>,
    /// How many of `ids` are the prompt; 1 where an empty one was replaced by the begin-of-text
    /// token, fewer than were given where `truncate_prompt` cut it.
    pub prompt_length: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Score of beam search: the sum of the processed log-probabilities of the continuation,
    /// divided by its length to the power of `length_penalty`. Equals `transformers`'
    /// `sequences_scores`. `None` for other strategies, and for a prompt that was not begun before
    /// the time was over.
    pub score: Option<f64>,
    /// Log-probabilities of the continuation's tokens, where `log_probs` asks for them; never of
    /// beams.
    pub log_probs: Option<Vec<LogProbs>>,
}

impl Sequence {
    /// The tokens that follow the prompt.
    #[must_use]
    pub fn continuation(&self) -> &[u32] {
        self.ids.get(self.prompt_length..).unwrap_or_default()
    }
}

/// How likely a chosen token was, as natural logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogProbs {
    /// By the model alone.
    pub model: f64,
    /// By the processed scores, which it was chosen by. Equals `transformers`'
    /// `compute_transition_scores(.., normalize_logits=True)`.
    pub processed: f64,
}

/// A token that was just chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Token {
    /// Which prompt it continues, counted from 0.
    pub prompt: usize,
    /// Which of the prompt's sequences, counted from 0.
    pub sequence: usize,
    /// Its id.
    pub id: u32,
    /// How likely it was, where `log_probs` asks for it.
    pub log_probs: Option<LogProbs>,
    /// Why the sequence ends with it, if it does.
    pub finish_reason: Option<FinishReason>,
}

/// A sequence that grows.
#[derive(Debug)]
pub(crate) struct Row {
    pub prompt: usize,
    pub sequence: usize,
    pub ids: Vec<u32>,
    /// First token that the model still sees.
    pub start: usize,
    pub lengths: Lengths,
    pub processors: LogitsProcessors,
    pub sampler: Sampler,
    pub stop: Option<StopMatcher>,
    pub log_probs: Option<Vec<LogProbs>>,
    pub finish_reason: Option<FinishReason>,
}

impl Row {
    /// What the model sees.
    pub fn visible(&self) -> &[u32] {
        &self.ids[self.start..]
    }

    /// Whether it is not finished.
    pub fn is_live(&self) -> bool {
        self.finish_reason.is_none()
    }

    /// How many more tokens it may get.
    pub fn room(&self) -> usize {
        self.lengths.end.saturating_sub(self.ids.len())
    }

    /// Chooses the next token by its scores, which are processed in place.
    ///
    /// # Errors
    /// [`Error::NoToken`] when the scores are not finite or all tokens are excluded.
    pub fn step(&mut self, scores: &mut [f32], eos_token_id: &[u32]) -> Result<Token> {
        let raw = self.log_probs.is_some().then(|| scores.to_vec());
        self.processors.process(&self.ids, scores);
        let id = self.sampler.choose(scores).ok_or_else(|| no_token(scores, self.ids.len()))?;
        let log_probs = raw.map(|raw| LogProbs {
            model: log_probability(&raw, id),
            processed: log_probability(scores, id),
        });
        self.accept(id, log_probs, eos_token_id)
    }

    /// Takes a token that was chosen for it.
    ///
    /// # Errors
    /// When the tokenizer does not know it.
    pub fn accept(
        &mut self,
        id: u32,
        log_probs: Option<LogProbs>,
        eos_token_id: &[u32],
    ) -> Result<Token> {
        if let (Some(list), Some(new)) = (&mut self.log_probs, log_probs) {
            list.push(new);
        }
        self.ids.push(id);
        self.finish_reason = self.ended(id, eos_token_id)?;
        let Self { prompt, sequence, finish_reason, .. } = *self;
        Ok(Token { prompt, sequence, id, log_probs, finish_reason })
    }

    /// Why it ends with the token `id`, which it has already, if it does.
    fn ended(&mut self, id: u32, eos_token_id: &[u32]) -> Result<Option<FinishReason>> {
        // Every token has to pass, whatever ends the sequence.
        let stopped = match &mut self.stop {
            Some(stop) => stop.push(id)?,
            None => false,
        };
        Ok(end_reason(eos_token_id.contains(&id), stopped, self.room() == 0))
    }

    /// The sequence as it is; unfinished ones were cancelled.
    pub fn finish(self) -> Sequence {
        Sequence {
            ids: self.ids,
            prompt_length: self.lengths.prompt,
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Cancelled),
            score: None,
            log_probs: self.log_probs,
        }
    }
}

/// Why a text ends of itself, the first reason that holds.
pub(crate) fn end_reason(is_eos: bool, is_stopped: bool, is_full: bool) -> Option<FinishReason> {
    let reasons = [
        (is_eos, FinishReason::Eos),
        (is_stopped, FinishReason::StopString),
        (is_full, FinishReason::Length),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
}

/// Why nothing could be chosen from these scores.
pub(crate) fn no_token(scores: &[f32], length: usize) -> Error {
    let excluded = scores.iter().all(|&score| score == f32::NEG_INFINITY);
    nothing(if excluded { NoChoice::AllExcluded } else { NoChoice::NotFinite }, length)
}

/// The error where nothing can be chosen behind so many tokens.
pub(crate) fn nothing(reason: NoChoice, length: usize) -> Error {
    let reason = match reason {
        NoChoice::AllExcluded => "the options exclude all of them",
        NoChoice::NotFinite => "the model's scores are not finite",
    };
    Error::NoToken { length, reason }
}
