//! `forced_bos_token_id`.

use super::{LogitsProcessor, force};

/// Leaves one token alone as the second of a sequence, after a begin-of-text token.
///
/// Equals `transformers`' `ForcedBOSTokenLogitsProcessor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForcedBosToken {
    forced_bos_token_id: u32,
}

impl ForcedBosToken {
    /// Forces `forced_bos_token_id` where there is one token.
    #[must_use]
    pub fn new(forced_bos_token_id: u32) -> Self {
        Self { forced_bos_token_id }
    }
}

impl LogitsProcessor for ForcedBosToken {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len() == 1 {
            force(&[self.forced_bos_token_id], scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn the_token_is_forced_after_one_token_only() {
        for (length, expected) in [(1, [EXCLUDED, 0.0]), (2, [3.0, 4.0])] {
            let mut scores = [3.0, 4.0];
            ForcedBosToken::new(1).process(&vec![0; length], &mut scores);
            assert_eq!(scores, expected);
        }
    }
}
