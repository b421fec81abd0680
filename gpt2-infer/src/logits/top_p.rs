//! `top_p`.

use super::{EXCLUDED, LogitsProcessor};
use crate::probability::weight;
use crate::{Error, Result};

/// Leaves the most likely tokens until their probabilities reach a sum (Holtzman et al. 2020).
///
/// Equals `transformers`' `TopPLogitsWarper`: the token that reaches the sum is kept, and of
/// equally likely ones those with the highest ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopP {
    top_p: f64,
    min_tokens_to_keep: usize,
}

impl TopP {
    /// Leaves the fewest tokens whose probabilities reach `top_p`, and at least one.
    ///
    /// # Errors
    /// [`Error::Option`] unless `top_p` is in (0, 1].
    pub fn new(top_p: f64) -> Result<Self> {
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::option("top_p", top_p, "a number above 0 and up to 1"));
        }
        Ok(Self { top_p, min_tokens_to_keep: 1 })
    }

    /// Leaves at least so many tokens, whatever their probabilities.
    #[must_use]
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Self {
        Self { min_tokens_to_keep: min_tokens_to_keep.max(1), ..self }
    }
}

impl LogitsProcessor for TopP {
    fn process(&self, _ids: &[u32], scores: &mut [f32]) {
        let mut tokens = candidates(scores);
        let kept = self.count(&mut tokens);
        for &(_, id) in &tokens[kept..] {
            scores[id as usize] = EXCLUDED;
        }
    }
}

impl TopP {
    /// Moves the tokens that are left to the front and counts them.
    ///
    /// They are sorted piece by piece, best first: behind the last one that is left the order does
    /// not matter, and it is a small part of the vocabulary.
    fn count(&self, tokens: &mut [(f32, u32)]) -> usize {
        let best = tokens.iter().map(|token| token.0).fold(EXCLUDED, f32::max);
        let total: f64 = tokens.iter().map(|token| weight(token.0, best)).sum();
        let by_descending =
            |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1));
        let (mut kept, mut sum, mut sorted) = (0, 0.0, 0);
        while kept < tokens.len() {
            if kept == sorted {
                let piece = (4 * sorted).max(256);
                let rest = &mut tokens[sorted..];
                if piece < rest.len() {
                    rest.select_nth_unstable_by(piece, by_descending);
                }
                sorted += piece.min(rest.len());
                tokens[kept..sorted].sort_unstable_by(by_descending);
            }
            if sum >= self.top_p * total && kept >= self.min_tokens_to_keep {
                break;
            }
            sum += weight(tokens[kept].0, best);
            kept += 1;
        }
        kept
    }
}

/// Scores that are not excluded, with their ids.
fn candidates(scores: &[f32]) -> Vec<(f32, u32)> {
    let possible = |&(score, _): &(f32, u32)| score > EXCLUDED;
    scores.iter().copied().zip(0..).filter(possible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(processor: TopP, probabilities: &[f64]) -> Vec<usize> {
        let mut scores: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
        processor.process(&[], &mut scores);
        (0..scores.len()).filter(|&at| scores[at] != EXCLUDED).collect()
    }

    #[test]
    fn the_token_that_reaches_the_sum_is_kept() {
        let probabilities = [0.1, 0.5, 0.25, 0.15];
        assert_eq!(kept(TopP::new(0.4).unwrap(), &probabilities), [1]);
        assert_eq!(kept(TopP::new(0.7).unwrap(), &probabilities), [1, 2]);
        assert_eq!(kept(TopP::new(0.8).unwrap(), &probabilities), [1, 2, 3]);
        assert_eq!(kept(TopP::new(1.0).unwrap(), &probabilities), [0, 1, 2, 3]);
    }

    #[test]
    fn of_equally_likely_tokens_the_highest_ids_are_kept() {
        assert_eq!(kept(TopP::new(0.6).unwrap(), &[0.25; 4]), [1, 2, 3]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = TopP::new(0.1).unwrap().with_min_tokens_to_keep(3);
        assert_eq!(kept(processor, &[0.1, 0.5, 0.25, 0.15]), [1, 2, 3]);
    }

    #[test]
    fn excluded_tokens_have_no_part_in_the_sum() {
        assert_eq!(kept(TopP::new(0.5).unwrap(), &[0.0, 0.3, 0.0, 0.2]), [1]);
    }

    #[test]
    fn sorting_by_pieces_agrees_with_sorting() {
        let count = 3000u64;
        let hash = |at: u64| 1 + (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50);
        let total: u64 = (0..count).map(hash).sum();
        let probabilities: Vec<f64> = (0..count).map(|at| hash(at) as f64 / total as f64).collect();
        for top_p in [0.01, 0.3, 0.7, 0.95] {
            let mut order: Vec<usize> = (0..count as usize).collect();
            order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(b.cmp(&a)));
            let mut sum = 0.0;
            let enough = order.iter().take_while(|&&at| {
                let needed = sum < top_p;
                sum += probabilities[at];
                needed
            });
            let mut expected: Vec<usize> = enough.copied().collect();
            expected.sort_unstable();
            assert_eq!(kept(TopP::new(top_p).unwrap(), &probabilities), expected);
        }
    }

    #[test]
    fn only_probabilities_are_accepted() {
        for top_p in [0.0, -0.1, 2.0, f64::NAN] {
            let error = TopP::new(top_p).unwrap_err().to_string();
            assert!(error.starts_with("`top_p` is"), "{error}");
        }
    }
}
