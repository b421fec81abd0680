//! `temperature`.

use super::LogitsProcessor;
use crate::{Error, Result};

/// Divides every score.
///
/// Equals `transformers`' `TemperatureLogitsWarper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    temperature: f32,
}

impl Temperature {
    /// Divides scores by `temperature`.
    ///
    /// # Errors
    /// [`Error::Option`] unless it is a positive number, in single precision too.
    pub fn new(temperature: f64) -> Result<Self> {
        let single = temperature as f32;
        // What is smaller than a normal number makes infinities of scores.
        if !single.is_normal() || single <= 0.0 {
            return Err(Error::option("temperature", temperature, "a positive number"));
        }
        Ok(Self { temperature: single })
    }
}

impl LogitsProcessor for Temperature {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        for score in scores {
            *score /= self.temperature;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn scores_are_divided_and_what_is_excluded_stays_so() {
        let mut scores = [1.0, -2.0, EXCLUDED];
        Temperature::new(0.5).unwrap().process(&[], &mut scores);
        assert_eq!(scores, [2.0, -4.0, EXCLUDED]);
    }

    #[test]
    fn only_positive_numbers_are_temperatures() {
        for temperature in [0.0, -1.0, 1e-60, 1e-40, f64::NAN, f64::INFINITY] {
            let error = Temperature::new(temperature).unwrap_err().to_string();
            assert!(error.starts_with("`temperature` is"), "{error}");
        }
    }
}
