//! One sequence while it grows, and when it is finished.

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::sample::Sampler;
use crate::{Error, Result};

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// Its last token is an end-of-text token.
    Eos,
    /// It has as many tokens as it may have.
    Length,
    /// The caller wanted no more.
    Cancelled,
}

/// A continued prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sequence {
    /// Prompt and continuation, an end-of-text token included, without padding.
    pub ids: Vec<u32>,
    /// How many of `ids` are the prompt; 1 where an empty one was replaced by the begin-of-text
    /// token.
    pub prompt_length: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Score of a search over several sequences; `None` where there was none.
    pub score: Option<f64>,
}

impl Sequence {
    /// The tokens that follow the prompt.
    #[must_use]
    pub fn continuation(&self) -> &[u32] {
        self.ids.get(self.prompt_length..).unwrap_or_default()
    }
}

/// A token that was just chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// Which prompt it continues, counted from 0.
    pub prompt: usize,
    /// Which of the prompt's sequences, counted from 0.
    pub sequence: usize,
    /// Its id.
    pub id: u32,
    /// Why the sequence ends with it, if it does.
    pub finish_reason: Option<FinishReason>,
}

/// A sequence that grows.
#[derive(Debug)]
pub(crate) struct Row {
    pub prompt: usize,
    pub sequence: usize,
    pub ids: Vec<u32>,
    pub lengths: Lengths,
    pub processors: LogitsProcessors,
    pub sampler: Sampler,
    pub finish_reason: Option<FinishReason>,
}

impl Row {
    /// Whether it is not finished.
    pub fn is_live(&self) -> bool {
        self.finish_reason.is_none()
    }

    /// Chooses the next token by its scores, which are processed in place.
    ///
    /// # Errors
    /// [`Error::NoToken`] when the scores are not finite or all tokens are excluded.
    pub fn step(&mut self, scores: &mut [f32], eos_token_id: &[u32]) -> Result<Token> {
        self.processors.process(&self.ids, scores);
        let Some(id) = self.sampler.choose(scores) else {
            let excluded = scores.iter().all(|&score| score == f32::NEG_INFINITY);
            let reason = match excluded {
                true => "the options exclude all of them",
                false => "the model's scores are not finite",
            };
            return Err(Error::NoToken { length: self.ids.len(), reason });
        };
        self.ids.push(id);
        if eos_token_id.contains(&id) {
            self.finish_reason = Some(FinishReason::Eos);
        } else if self.ids.len() >= self.lengths.end {
            self.finish_reason = Some(FinishReason::Length);
        }
        let Self { prompt, sequence, finish_reason, .. } = *self;
        Ok(Token { prompt, sequence, id, finish_reason })
    }

    /// The sequence as it is; unfinished ones were cancelled.
    pub fn finish(self) -> Sequence {
        Sequence {
            ids: self.ids,
            prompt_length: self.lengths.prompt,
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Cancelled),
            score: None,
        }
    }
}
