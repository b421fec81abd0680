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
    /// The lengths of a sequence with a prompt of `prompt` tokens, each sequence by itself: in a
    /// batch `transformers` counts the padding of a shorter prompt as if it were text.
    ///
    /// The last token of a text is never read, so a text may be one token longer than the
    /// context.
    ///
    /// # Errors
    /// [`Error::Prompt`] when the prompt is longer than the context, [`Error::Option`] when
    /// nothing could be added, or more than fits the context, or less than the minimum.
    pub fn new(
        config: &GenerationConfig,
        index: usize,
        prompt: usize,
        n_positions: usize,
    ) -> Result<Self> {
        if prompt > n_positions {
            let expected = format!("at most n_positions = {n_positions}");
            return Err(Error::prompt(index, format!("{prompt} tokens"), expected));
        }
        let longest = n_positions + 1;
        let end = match (config.max_new_tokens, config.max_length) {
            (Some(new), _) if new > longest - prompt => {
                let expected = format!(
                    "at most {} after the {prompt} tokens of prompt {index}: n_positions = \
                     {n_positions}, and the last token is not read",
                    longest - prompt
                );
                return Err(Error::option("max_new_tokens", new, expected));
            }
            (Some(new), _) => prompt + new,
            (None, Some(end)) if end <= prompt => {
                let expected = format!("more than the {prompt} tokens of prompt {index}");
                return Err(Error::option("max_length", end, expected));
            }
            (None, Some(end)) if end > longest => {
                let expected = format!(
                    "at most {longest}: n_positions = {n_positions}, and the last token is not read"
                );
                return Err(Error::option("max_length", end, expected));
            }
            (None, Some(end)) => end,
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
