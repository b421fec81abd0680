//! `exponential_decay_length_penalty`.

use super::LogitsProcessor;
use crate::{Error, Result};

const OPTION: &str = "exponential_decay_length_penalty";

/// Makes end-of-text tokens likelier with every token beyond a length.
///
/// The score grows by its absolute value times `factor^n - 1`, where n is the number of tokens
/// beyond. Equals `transformers`' `ExponentialDecayLengthPenalty`; where that overflows, this
/// stays at the largest number.
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialDecayLengthPenalty {
    start: usize,
    factor: f64,
    eos_token_id: Vec<u32>,
}

impl ExponentialDecayLengthPenalty {
    /// Begins when more than `start` tokens follow a prompt of `prompt_length`; `penalty` is start
    /// and factor.
    ///
    /// # Errors
    /// [`Error::Option`] when the factor is not a finite number, or there is no end-of-text token.
    pub fn new(
        penalty: (usize, f64),
        prompt_length: usize,
        eos_token_id: Vec<u32>,
    ) -> Result<Self> {
        let (start, factor) = penalty;
        let refuse = |expected| {
            let found = format!("[{start}, {factor}]");
            Err(Error::option(OPTION, found, expected))
        };
        if !factor.is_finite() {
            return refuse("a finite factor");
        }
        if eos_token_id.is_empty() {
            return refuse("null where there is no eos_token_id");
        }
        Ok(Self { start: start.saturating_add(prompt_length), factor, eos_token_id })
    }
}

impl LogitsProcessor for ExponentialDecayLengthPenalty {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        let beyond = ids.len().saturating_sub(self.start);
        if beyond == 0 {
            return;
        }
        let growth = (self.factor.powf(beyond as f64) - 1.0) as f32;
        let growth = growth.clamp(f32::MIN, f32::MAX);
        for (at, &id) in self.eos_token_id.iter().enumerate() {
            let again = self.eos_token_id[..at].contains(&id);
            if let Some(score) = scores.get_mut(id as usize)
                && score.is_finite()
                && !again
            {
                *score = (*score + score.abs() * growth).clamp(f32::MIN, f32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn end_of_text_grows_with_every_token_beyond_the_length() {
        let mut processor =
            ExponentialDecayLengthPenalty::new((1, 1.5), 2, vec![0, 1, 2, 9, 0]).unwrap();
        for (length, expected) in [
            (3, [2.0, -2.0, EXCLUDED, 1.0]),
            (4, [3.0, -1.0, EXCLUDED, 1.0]),
            (5, [4.5, 0.5, EXCLUDED, 1.0]),
        ] {
            let mut scores = [2.0, -2.0, EXCLUDED, 1.0];
            processor.process(&vec![3; length], &mut scores);
            assert_eq!(scores, expected);
        }
    }

    #[test]
    fn a_penalty_beyond_all_numbers_is_the_largest_one() {
        let mut scores = [2.0, 0.0];
        let mut processor = ExponentialDecayLengthPenalty::new((0, 1e9), 0, vec![0, 1]).unwrap();
        processor.process(&[1; 900], &mut scores);
        assert_eq!(scores, [f32::MAX, 0.0]);
    }

    #[test]
    fn the_factor_is_a_number_and_there_is_something_to_favour() {
        for (factor, ends) in [(f64::NAN, vec![0]), (f64::INFINITY, vec![0]), (1.1, vec![])] {
            let error = ExponentialDecayLengthPenalty::new((3, factor), 1, ends).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(&format!("`{OPTION}` is [3, {factor}]")), "{error}");
        }
    }
}
