//! `top_p`.

use super::scratch::Scratch;
use super::select::sorted_while;
use super::{EXCLUDED, LogitsProcessor, at_least_one};
use crate::probability::{Softmax, above, weight};
use crate::{Error, Result};

/// Leaves the most likely tokens until their probabilities reach a sum (Holtzman et al. 2020).
///
/// Equals `transformers`' `TopPLogitsWarper`: the token that reaches the sum is kept, and of
/// equally likely ones those with the highest ids.
#[derive(Debug, Clone, PartialEq)]
pub struct TopP {
    top_p: f64,
    min_tokens_to_keep: usize,
    tokens: Scratch<(f32, u32)>,
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
        Ok(Self { top_p, min_tokens_to_keep: 1, tokens: Scratch::default() })
    }

    /// Leaves at least so many tokens, whatever their probabilities.
    ///
    /// # Errors
    /// [`Error::Option`] when it is 0.
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Result<Self> {
        Ok(Self { min_tokens_to_keep: at_least_one(min_tokens_to_keep)?, ..self })
    }
}

impl LogitsProcessor for TopP {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        let Softmax { largest, total, .. } = Softmax::of(scores);
        let tokens = &mut self.tokens.0;
        tokens.clear();
        tokens.extend(above(scores, EXCLUDED).map(|(id, score)| (score, id)));
        let by_descending =
            |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1));
        let (mut kept, mut sum) = (0, 0.0);
        let kept = sorted_while(tokens, by_descending, |&(score, _)| {
            let wanted = sum < self.top_p * total || kept < self.min_tokens_to_keep;
            sum += weight(score, largest);
            kept += 1;
            wanted
        });
        for &(_, id) in &tokens[kept..] {
            scores[id as usize] = EXCLUDED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::kept_of;

    #[test]
    fn the_token_that_reaches_the_sum_is_kept() {
        let probabilities = [0.1, 0.5, 0.25, 0.15];
        assert_eq!(kept_of(TopP::new(0.4).unwrap(), &probabilities), [1]);
        assert_eq!(kept_of(TopP::new(0.7).unwrap(), &probabilities), [1, 2]);
        assert_eq!(kept_of(TopP::new(0.8).unwrap(), &probabilities), [1, 2, 3]);
        assert_eq!(kept_of(TopP::new(1.0).unwrap(), &probabilities), [0, 1, 2, 3]);
    }

    #[test]
    fn of_equally_likely_tokens_the_highest_ids_are_kept() {
        assert_eq!(kept_of(TopP::new(0.6).unwrap(), &[0.25; 4]), [1, 2, 3]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = TopP::new(0.1).unwrap().with_min_tokens_to_keep(3).unwrap();
        assert_eq!(kept_of(processor, &[0.1, 0.5, 0.25, 0.15]), [1, 2, 3]);
    }

    #[test]
    fn excluded_tokens_have_no_part_in_the_sum() {
        assert_eq!(kept_of(TopP::new(0.5).unwrap(), &[0.0, 0.3, 0.0, 0.2]), [1]);
    }

    #[test]
    fn only_probabilities_are_accepted() {
        for top_p in [0.0, -0.1, 2.0, f64::NAN] {
            let error = TopP::new(top_p).unwrap_err().to_string();
            assert!(error.starts_with("`top_p` is"), "{error}");
        }
    }
}
