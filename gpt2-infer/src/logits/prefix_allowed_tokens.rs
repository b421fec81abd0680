//! `prefix_allowed_tokens_fn`.

use std::fmt;
use std::sync::Arc;

use super::{EXCLUDED, LogitsProcessor};

/// Leaves only the tokens that a function allows after the text so far (De Cao et al. 2021).
///
/// Equals `transformers`' `PrefixConstrainedLogitsProcessor`. Where an earlier processor has
/// excluded all that is allowed, in every beam of the prompt, the allowed tokens become equally
/// likely. Where the function allows nothing, all tokens are excluded, so that generation ends
/// with [`Error::NoToken`](crate::Error::NoToken), or without this beam.
///
/// # Example
/// ```
/// use gpt2_infer::logits::{EXCLUDED, LogitsProcessor, PrefixAllowedTokens};
///
/// // Tokens never fall.
/// let mut processor = PrefixAllowedTokens::new(|ids: &[u32]| (ids[ids.len() - 1]..3).collect());
/// let mut scores = [3.0, 2.0, 1.0];
/// processor.process(&[0, 1], &mut scores);
/// assert_eq!(scores, [EXCLUDED, 2.0, 1.0]);
/// ```
#[derive(Clone)]
pub struct PrefixAllowedTokens(Arc<dyn Fn(&[u32]) -> Vec<u32> + Send + Sync>);

impl PrefixAllowedTokens {
    /// Leaves what `allowed` returns for the ids so far, prompt included; ids outside of the
    /// vocabulary are passed over.
    pub fn new(allowed: impl Fn(&[u32]) -> Vec<u32> + Send + Sync + 'static) -> Self {
        Self(Arc::new(allowed))
    }
}

impl fmt::Debug for PrefixAllowedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrefixAllowedTokens(_)")
    }
}

impl LogitsProcessor for PrefixAllowedTokens {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        self.process_beams(&[ids], scores);
    }

    fn process_beams(&mut self, beams: &[&[u32]], scores: &mut [f32]) {
        let vocab = scores.len() / beams.len().max(1);
        let allowed: Vec<Vec<(u32, f32)>> = beams
            .iter()
            .zip(scores.chunks_exact(vocab.max(1)))
            .map(|(ids, scores)| {
                let known = |id| scores.get(id as usize).map(|&score| (id, score));
                self.0(ids).into_iter().filter_map(known).collect()
            })
            .collect();
        let possible = allowed.iter().flatten().any(|&(_, score)| score != EXCLUDED);
        scores.fill(EXCLUDED);
        for (allowed, scores) in allowed.iter().zip(scores.chunks_exact_mut(vocab.max(1))) {
            for &(id, score) in allowed {
                scores[id as usize] = if possible { score } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After an even number of tokens 0 and 2, else the tokens of the text so far.
    fn processor() -> PrefixAllowedTokens {
        PrefixAllowedTokens::new(|ids| match ids.len() % 2 {
            0 => vec![0, 2, 2, 9],
            _ => ids.to_vec(),
        })
    }

    #[test]
    fn only_what_is_allowed_is_left() {
        let mut scores = [1.0, 2.0, 3.0];
        processor().process(&[], &mut scores);
        assert_eq!(scores, [1.0, EXCLUDED, 3.0]);
        let mut scores = [1.0, 2.0, 3.0];
        processor().process(&[1], &mut scores);
        assert_eq!(scores, [EXCLUDED, 2.0, EXCLUDED]);
    }

    #[test]
    fn what_is_allowed_holds_even_where_it_was_excluded() {
        let mut scores = [EXCLUDED, 2.0, EXCLUDED];
        processor().process(&[], &mut scores);
        assert_eq!(scores, [0.0, EXCLUDED, 0.0]);
    }

    #[test]
    fn a_beam_may_end_while_another_one_goes_on() {
        let mut scores = [EXCLUDED, 2.0, EXCLUDED, EXCLUDED, 2.0, 3.0];
        processor().process_beams(&[&[1, 1], &[0, 0]], &mut scores);
        assert_eq!(scores, [EXCLUDED, EXCLUDED, EXCLUDED, EXCLUDED, EXCLUDED, 3.0]);
        let mut scores = [EXCLUDED, 2.0, EXCLUDED, EXCLUDED, 2.0, EXCLUDED];
        processor().process_beams(&[&[1, 1], &[0, 0]], &mut scores);
        assert_eq!(scores, [0.0, EXCLUDED, 0.0, 0.0, EXCLUDED, 0.0]);
    }

    #[test]
    fn where_nothing_is_allowed_all_is_excluded() {
        let mut scores = [1.0; 3];
        PrefixAllowedTokens::new(|_| Vec::new()).process(&[1], &mut scores);
        assert_eq!(scores, [EXCLUDED; 3]);
    }
}
