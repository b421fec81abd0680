//! `suppress_tokens`.

use super::{LogitsProcessor, exclude};

/// Rules out tokens at every step.
///
/// Equals `transformers`' `SuppressTokensLogitsProcessor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressTokens {
    suppress_tokens: Vec<u32>,
}

impl SuppressTokens {
    /// Rules out `suppress_tokens`.
    #[must_use]
    pub fn new(suppress_tokens: Vec<u32>) -> Self {
        Self { suppress_tokens }
    }
}

impl LogitsProcessor for SuppressTokens {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        exclude(&self.suppress_tokens, scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn the_tokens_are_excluded_at_every_step() {
        let mut processor = SuppressTokens::new(vec![2, 0, 7]);
        for ids in [&[][..], &[1, 2]] {
            let mut scores = [1.0; 3];
            processor.process(ids, &mut scores);
            assert_eq!(scores, [EXCLUDED, 1.0, EXCLUDED]);
        }
    }
}
