//! `forced_eos_token_id`.

use super::{LogitsProcessor, force};
use crate::{Error, Result};

/// Leaves only these tokens as the last of a sequence that reaches its greatest length.
///
/// Equals `transformers`' `ForcedEOSTokenLogitsProcessor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedEosToken {
    max_length: usize,
    forced_eos_token_id: Vec<u32>,
}

impl ForcedEosToken {
    /// Forces one of `forced_eos_token_id` as token number `max_length`, prompt included.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no token.
    pub fn new(max_length: usize, forced_eos_token_id: Vec<u32>) -> Result<Self> {
        if forced_eos_token_id.is_empty() {
            return Err(Error::option("forced_eos_token_id", "empty", "at least one token id"));
        }
        Ok(Self { max_length, forced_eos_token_id })
    }
}

impl LogitsProcessor for ForcedEosToken {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len() + 1 == self.max_length {
            force(&self.forced_eos_token_id, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn the_tokens_are_forced_as_the_last_one_only() {
        let mut processor = ForcedEosToken::new(3, vec![0, 2]).unwrap();
        for (length, expected) in [(1, [1.0; 3]), (2, [0.0, EXCLUDED, 0.0]), (3, [1.0; 3])] {
            let mut scores = [1.0; 3];
            processor.process(&vec![0; length], &mut scores);
            assert_eq!(scores, expected);
        }
    }

    #[test]
    fn no_token_cannot_be_forced() {
        let error = ForcedEosToken::new(3, vec![]).unwrap_err().to_string();
        assert!(error.starts_with("`forced_eos_token_id` is empty"), "{error}");
    }
}
