//! `min_new_tokens`.

use super::{LogitsProcessor, exclude};

/// Rules out end-of-text tokens while too few tokens follow the prompt.
///
/// Equals `transformers`' `MinNewTokensLengthLogitsProcessor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinNewTokens {
    min_new_tokens: usize,
    prompt_length: usize,
    eos_token_id: Vec<u32>,
}

impl MinNewTokens {
    /// Rules out `eos_token_id` until `min_new_tokens` follow a prompt of `prompt_length`.
    #[must_use]
    pub fn new(min_new_tokens: usize, prompt_length: usize, eos_token_id: Vec<u32>) -> Self {
        Self { min_new_tokens, prompt_length, eos_token_id }
    }
}

impl LogitsProcessor for MinNewTokens {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len().saturating_sub(self.prompt_length) < self.min_new_tokens {
            exclude(&self.eos_token_id, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn the_prompt_does_not_count() {
        let mut processor = MinNewTokens::new(2, 3, vec![0]);
        let mut scores = [0.0; 2];
        processor.process(&[1; 4], &mut scores);
        assert_eq!(scores, [EXCLUDED, 0.0]);
        let mut scores = [0.0; 2];
        processor.process(&[1; 5], &mut scores);
        assert_eq!(scores, [0.0; 2]);
    }
}
