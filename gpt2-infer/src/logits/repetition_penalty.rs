//! `repetition_penalty`.

use super::LogitsProcessor;
use super::scratch::Scratch;
use crate::{Error, Result};

/// Makes tokens that occurred already less likely (Keskar et al. 2019, section 4.1).
///
/// A positive score is divided by the penalty and a negative one multiplied, once however often
/// the token occurred. Equals `transformers`' `RepetitionPenaltyLogitsProcessor`.
#[derive(Debug, Clone, PartialEq)]
pub struct RepetitionPenalty {
    penalty: f32,
    /// Which tokens of the vocabulary were met in this step; all false between two steps.
    met: Scratch<bool>,
}

impl RepetitionPenalty {
    /// Penalises by `penalty`; below 1 it rewards.
    ///
    /// # Errors
    /// [`Error::Option`] unless it is a positive number, in single precision too.
    pub fn new(penalty: f64) -> Result<Self> {
        let single = penalty as f32;
        if !single.is_finite() || single <= 0.0 {
            return Err(Error::option("repetition_penalty", penalty, "a positive number"));
        }
        Ok(Self { penalty: single, met: Scratch::default() })
    }
}

impl LogitsProcessor for RepetitionPenalty {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        let met = &mut self.met.0;
        met.resize(scores.len(), false);
        for &id in ids {
            let at = id as usize;
            let (Some(score), Some(met)) = (scores.get_mut(at), met.get_mut(at)) else {
                continue;
            };
            if !std::mem::replace(met, true) {
                *score = if *score < 0.0 { *score * self.penalty } else { *score / self.penalty };
            }
        }
        // Cheaper than all of the vocabulary.
        for &id in ids {
            if let Some(met) = met.get_mut(id as usize) {
                *met = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_signs_become_less_likely_and_only_once() {
        let mut scores = [4.0, -4.0, 1.0, 0.0];
        let mut processor = RepetitionPenalty::new(2.0).unwrap();
        processor.process(&[0, 1, 0, 3, 9], &mut scores);
        assert_eq!(scores, [2.0, -8.0, 1.0, 0.0]);
        // The next step starts anew.
        processor.process(&[0], &mut scores);
        assert_eq!(scores, [1.0, -8.0, 1.0, 0.0]);
    }

    #[test]
    fn only_positive_numbers_are_penalties() {
        for penalty in [0.0, -1.0, f64::NAN, 1e60] {
            let error = RepetitionPenalty::new(penalty).unwrap_err().to_string();
            assert!(error.starts_with("`repetition_penalty` is"), "{error}");
        }
    }
}
