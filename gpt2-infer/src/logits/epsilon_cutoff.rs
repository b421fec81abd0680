//! `epsilon_cutoff`.

use super::scratch::Scratch;
use super::select::exclude_below;
use super::{LogitsProcessor, at_least_one, inside_unit};
use crate::Result;
use crate::probability::Softmax;

/// Leaves tokens with a probability of at least `epsilon` (Hewitt et al. 2022, section 4.2), and
/// the likeliest one.
///
/// Equals `transformers`' `EpsilonLogitsWarper`.
#[derive(Debug, Clone, PartialEq)]
pub struct EpsilonCutoff {
    epsilon: f64,
    min_tokens_to_keep: usize,
    scratch: Scratch<f32>,
}

impl EpsilonCutoff {
    /// Leaves tokens with a probability of at least `epsilon`.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) unless `epsilon` is in (0, 1).
    pub fn new(epsilon: f64) -> Result<Self> {
        let epsilon = inside_unit("epsilon_cutoff", epsilon)?;
        Ok(Self { epsilon, min_tokens_to_keep: 1, scratch: Scratch::default() })
    }

    /// Leaves at least so many tokens, whatever their probabilities, and all that are as likely as
    /// the last of these.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) when it is 0.
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Result<Self> {
        Ok(Self { min_tokens_to_keep: at_least_one(min_tokens_to_keep)?, ..self })
    }
}

impl LogitsProcessor for EpsilonCutoff {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        let threshold = Softmax::of(scores).score(self.epsilon);
        exclude_below(threshold, self.min_tokens_to_keep, scores, &mut self.scratch.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::kept_of;

    const PROBABILITIES: [f64; 4] = [0.1, 0.5, 0.25, 0.15];

    #[test]
    fn unlikely_tokens_are_excluded() {
        let kept = |epsilon| kept_of(EpsilonCutoff::new(epsilon).unwrap(), &PROBABILITIES);
        assert_eq!(kept(0.05), [0, 1, 2, 3]);
        assert_eq!(kept(0.2), [1, 2]);
        assert_eq!(kept(0.7), [1]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = EpsilonCutoff::new(0.9).unwrap().with_min_tokens_to_keep(3).unwrap();
        assert_eq!(kept_of(processor, &PROBABILITIES), [1, 2, 3]);
    }

    #[test]
    fn only_probabilities_between_none_and_all_are_accepted() {
        for epsilon in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = EpsilonCutoff::new(epsilon).unwrap_err().to_string();
            assert!(error.starts_with("`epsilon_cutoff` is"), "{error}");
        }
    }
}
