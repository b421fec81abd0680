//! From options about lengths to the lengths of one sequence.

use super::GenerationConfig;
use crate::{Error, Result};

/// Tokens that are added where no option says how many; equals `transformers` 5.
const NEW_TOKENS: usize = 20;

/// Where a sequence ends, given its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens at which the sequence is finished, prompt included.
    pub end: usize,
}

impl Lengths {
    /// The lengths of a sequence with a prompt of `prompt` tokens, which fit the context
    /// ([`prompt::check_length`](crate::prompt::check_length)), each sequence by itself: in a
    /// batch `transformers` counts the padding of a shorter prompt as if it were text.
    ///
    /// The last token of a text is never read, so a text may be one token longer than the
    /// context; with `sliding_window` it may have any length.
    ///
    /// # Errors
    /// [`Error::Prompt`] when the prompt fills the context and no length is given,
    /// [`Error::Option`] when nothing could be added, or more than fits the context, or less than
    /// the minimum.
    pub fn new(
        config: &GenerationConfig,
        index: usize,
        prompt: usize,
        n_positions: usize,
    ) -> Result<Self> {
        let longest = match config.sliding_window {
            Some(_) => LONGEST,
            None => n_positions + 1,
        };
        let end = match (config.max_new_tokens, config.max_length) {
            (Some(new), _) if new > longest - prompt => {
                let room = longest - prompt;
                let context = limit(config, n_positions);
                let expected = format!(
                    "at most {room} after the {prompt} tokens of prompt {index}: {context}"
                );
                return Err(Error::option("max_new_tokens", new, expected));
            }
            (Some(new), _) => prompt + new,
            (None, Some(end)) if end <= prompt => {
                let expected = format!("more than the {prompt} tokens of prompt {index}");
                return Err(Error::option("max_length", end, expected));
            }
            (None, Some(end)) if end > longest => {
                let expected = format!("at most {longest}: {}", limit(config, n_positions));
                return Err(Error::option("max_length", end, expected));
            }
            (None, Some(end)) => end,
            (None, None) if config.sliding_window.is_some() => prompt + NEW_TOKENS,
            (None, None) if prompt == n_positions => {
                let expected = format!(
                    "fewer than n_positions = {n_positions}, or max_new_tokens of 1: there is no \
                     room to add to it"
                );
                return Err(Error::prompt(index, format!("{prompt} tokens"), expected));
            }
            (None, None) => (prompt + NEW_TOKENS).min(n_positions),
        };
        let lengths = Self { prompt, end };
        lengths.check_minimum(config, index)?;
        Ok(lengths)
    }

    fn check_minimum(&self, config: &GenerationConfig, index: usize) -> Result<()> {
        let (option, least, most) = match config.min_new_tokens {
            Some(new) => ("min_new_tokens", new, self.end - self.prompt),
            None => ("min_length", config.min_length, self.end),
        };
        if least > most {
            let expected = format!("at most {most}, where a sequence of prompt {index} has to end");
            return Err(Error::option(option, least, expected));
        }
        Ok(())
    }
}

/// Tokens beyond which no text is worth an attempt; keeps sums of lengths far from overflow.
const LONGEST: usize = i32::MAX as usize;

/// Why a text cannot be longer.
fn limit(config: &GenerationConfig, n_positions: usize) -> String {
    match config.sliding_window {
        Some(_) => "longer texts are not supported".to_string(),
        None => format!(
            "n_positions = {n_positions}, and the last token is not read; `sliding_window` lifts \
             the limit"
        ),
    }
}

/// How many of the last tokens of a prompt are kept with `truncate_prompt`, so that what is to be
/// added fits behind them; all, where they do.
///
/// With `sliding_window` only the prompt itself has to fit.
pub(crate) fn kept(config: &GenerationConfig, prompt: usize, n_positions: usize) -> usize {
    let room = match (config.sliding_window, config.max_new_tokens) {
        (Some(_), _) => n_positions,
        (None, Some(new)) => (n_positions + 1).saturating_sub(new),
        (None, None) => match config.max_length {
            Some(end) if prompt < end && prompt <= n_positions => prompt,
            Some(end) => end.min(n_positions).saturating_sub(NEW_TOKENS),
            None => n_positions.saturating_sub(NEW_TOKENS),
        },
    };
    prompt.min(room.max(1))
}
