//! `min_length`.

use super::{LogitsProcessor, exclude};

/// Rules out end-of-text tokens while the sequence, prompt included, is too short.
///
/// Equals `transformers`' `MinLengthLogitsProcessor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinLength {
    min_length: usize,
    eos_token_id: Vec<u32>,
}

impl MinLength {
    /// Rules out `eos_token_id` in sequences of fewer than `min_length` tokens.
    #[must_use]
    pub fn new(min_length: usize, eos_token_id: Vec<u32>) -> Self {
        Self { min_length, eos_token_id }
    }
}

impl LogitsProcessor for MinLength {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len() < self.min_length {
            exclude(&self.eos_token_id, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn end_of_text_is_excluded_below_the_length_only() {
        let mut processor = MinLength::new(3, vec![1, 7]);
        let mut scores = [0.0; 3];
        processor.process(&[0, 0], &mut scores);
        assert_eq!(scores, [0.0, EXCLUDED, 0.0]);
        let mut scores = [0.0; 3];
        processor.process(&[0, 0, 0], &mut scores);
        assert_eq!(scores, [0.0; 3]);
    }
}
