//! `top_k`.

use super::scratch::Scratch;
use super::select::exclude_below;
use super::{LogitsProcessor, at_least_one};
use crate::{Error, Result};

/// Leaves only the highest scores, and all that equal the last of them (Fan et al. 2018).
///
/// Equals `transformers`' `TopKLogitsWarper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopK {
    top_k: usize,
    scratch: Scratch<f32>,
}

impl TopK {
    /// Leaves the `top_k` highest scores; a number beyond the vocabulary leaves all.
    ///
    /// # Errors
    /// [`Error::Option`] when `top_k` is 0.
    pub fn new(top_k: usize) -> Result<Self> {
        if top_k == 0 {
            return Err(Error::option("top_k", top_k, "at least 1"));
        }
        Ok(Self { top_k, scratch: Scratch::default() })
    }

    /// Leaves at least so many tokens, whatever `top_k` says.
    ///
    /// # Errors
    /// [`Error::Option`] when it is 0.
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Result<Self> {
        let top_k = self.top_k.max(at_least_one(min_tokens_to_keep)?);
        Ok(Self { top_k, ..self })
    }
}

impl LogitsProcessor for TopK {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        exclude_below(f64::INFINITY, self.top_k, scores, &mut self.scratch.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    fn kept(top_k: usize, scores: &[f32]) -> Vec<usize> {
        let mut scores = scores.to_vec();
        TopK::new(top_k).unwrap().process(&[], &mut scores);
        (0..scores.len()).filter(|&at| scores[at] != EXCLUDED).collect()
    }

    #[test]
    fn the_highest_scores_are_kept() {
        assert_eq!(kept(2, &[1.0, 4.0, -3.0, 2.0]), [1, 3]);
        assert_eq!(kept(9, &[1.0, 4.0]), [0, 1]);
    }

    #[test]
    fn all_scores_that_equal_the_last_one_are_kept() {
        assert_eq!(kept(2, &[5.0, 1.0, 1.0, 0.0, 1.0]), [0, 1, 2, 4]);
    }

    #[test]
    fn excluded_scores_do_not_come_back() {
        assert_eq!(kept(3, &[EXCLUDED, 1.0, EXCLUDED, 2.0, EXCLUDED]), [1, 3]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let mut scores = [1.0, 4.0, -3.0, 2.0];
        TopK::new(1).unwrap().with_min_tokens_to_keep(3).unwrap().process(&[], &mut scores);
        assert_eq!(scores, [1.0, 4.0, EXCLUDED, 2.0]);
    }

    #[test]
    fn none_is_no_number_of_tokens() {
        let error = TopK::new(0).unwrap_err().to_string();
        assert_eq!(error, "`top_k` is 0, expected at least 1");
        let error = TopK::new(1).unwrap().with_min_tokens_to_keep(0).unwrap_err().to_string();
        assert_eq!(error, "`min_tokens_to_keep` is 0, expected at least 1");
    }
}
