//! `begin_suppress_tokens`.

use super::{LogitsProcessor, exclude};

/// Rules out tokens at the first step alone.
///
/// Equals `transformers`' `SuppressTokensAtBeginLogitsProcessor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginSuppressTokens {
    begin_suppress_tokens: Vec<u32>,
    begin_index: usize,
}

impl BeginSuppressTokens {
    /// Rules out `begin_suppress_tokens` after `begin_index` tokens, the prompt's.
    #[must_use]
    pub fn new(begin_suppress_tokens: Vec<u32>, begin_index: usize) -> Self {
        Self { begin_suppress_tokens, begin_index }
    }
}

impl LogitsProcessor for BeginSuppressTokens {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len() == self.begin_index {
            exclude(&self.begin_suppress_tokens, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn the_tokens_are_excluded_at_the_beginning_only() {
        let mut processor = BeginSuppressTokens::new(vec![1], 2);
        for (length, expected) in [(1, 0.0), (2, EXCLUDED), (3, 0.0)] {
            let mut scores = [0.0; 2];
            processor.process(&vec![0; length], &mut scores);
            assert_eq!(scores, [0.0, expected]);
        }
    }
}
