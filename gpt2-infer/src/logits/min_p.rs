//! `min_p`.

use super::scratch::Scratch;
use super::select::exclude_below;
use super::{LogitsProcessor, at_least_one};
use crate::probability::largest;
use crate::{Error, Result};

/// Leaves tokens that are at least so likely, as a part of the likeliest one's probability
/// (Nguyen et al. 2024).
///
/// Equals `transformers`' `MinPLogitsWarper`.
#[derive(Debug, Clone, PartialEq)]
pub struct MinP {
    min_p: f64,
    min_tokens_to_keep: usize,
    scratch: Scratch<f32>,
}

impl MinP {
    /// Leaves tokens with a probability of at least `min_p` times the highest one.
    ///
    /// # Errors
    /// [`Error::Option`] unless `min_p` is in [0, 1].
    pub fn new(min_p: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&min_p) {
            return Err(Error::option("min_p", min_p, "a number from 0 to 1"));
        }
        Ok(Self { min_p, min_tokens_to_keep: 1, scratch: Scratch::default() })
    }

    /// Leaves at least so many tokens, whatever their probabilities, and all that are as likely as
    /// the last of these.
    ///
    /// # Errors
    /// [`Error::Option`] when it is 0.
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Result<Self> {
        Ok(Self { min_tokens_to_keep: at_least_one(min_tokens_to_keep)?, ..self })
    }
}

impl LogitsProcessor for MinP {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        // The sum of all weights stands on both sides, so that no probability is needed.
        let threshold = f64::from(largest(scores)) + self.min_p.ln();
        exclude_below(threshold, self.min_tokens_to_keep, scores, &mut self.scratch.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::kept_of;

    const PROBABILITIES: [f64; 4] = [0.1, 0.5, 0.25, 0.15];

    #[test]
    fn the_part_is_one_of_the_highest_probability() {
        let kept = |min_p| kept_of(MinP::new(min_p).unwrap(), &PROBABILITIES);
        assert_eq!(kept(0.0), [0, 1, 2, 3]);
        assert_eq!(kept(0.25), [1, 2, 3]);
        assert_eq!(kept(0.4), [1, 2]);
        assert_eq!(kept(1.0), [1]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = MinP::new(0.9).unwrap().with_min_tokens_to_keep(3).unwrap();
        assert_eq!(kept_of(processor, &PROBABILITIES), [1, 2, 3]);
    }

    #[test]
    fn only_parts_are_accepted() {
        for min_p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = MinP::new(min_p).unwrap_err().to_string();
            assert!(error.starts_with("`min_p` is"), "{error}");
        }
    }
}
