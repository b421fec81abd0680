//! `eta_cutoff`.

use super::scratch::Scratch;
use super::select::exclude_below;
use super::{LogitsProcessor, at_least_one, inside_unit};
use crate::Result;
use crate::probability::Softmax;

/// Leaves tokens whose probability reaches a bound that falls with the entropy, and the likeliest
/// one (eta sampling, Hewitt et al. 2022).
///
/// The bound is the lesser of `epsilon` and `sqrt(epsilon) * exp(-entropy)`. Equals
/// `transformers`' `EtaLogitsWarper`.
#[derive(Debug, Clone, PartialEq)]
pub struct EtaCutoff {
    epsilon: f64,
    min_tokens_to_keep: usize,
    scratch: Scratch<f32>,
}

impl EtaCutoff {
    /// The bound follows from `epsilon`.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) unless `epsilon` is in (0, 1).
    pub fn new(epsilon: f64) -> Result<Self> {
        let epsilon = inside_unit("eta_cutoff", epsilon)?;
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

impl LogitsProcessor for EtaCutoff {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        let softmax = Softmax::of(scores);
        let eta = self.epsilon.min(self.epsilon.sqrt() * (-softmax.entropy).exp());
        let threshold = softmax.score(eta);
        exclude_below(threshold, self.min_tokens_to_keep, scores, &mut self.scratch.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::kept_of;

    #[test]
    fn the_bound_falls_with_the_entropy() {
        // Entropy 0.168: epsilon itself is the lesser.
        let sharp = [0.96, 0.04];
        assert_eq!(kept_of(EtaCutoff::new(0.01).unwrap(), &sharp), [0, 1]);
        assert_eq!(kept_of(EtaCutoff::new(0.09).unwrap(), &sharp), [0]);
        // Entropy 1.364: the bounds are 0.3 * 0.2557 = 0.0767 and 0.3464 * 0.2557 = 0.0886.
        let spread = [0.3, 0.3, 0.3, 0.08, 0.02];
        assert_eq!(kept_of(EtaCutoff::new(0.09).unwrap(), &spread), [0, 1, 2, 3]);
        assert_eq!(kept_of(EtaCutoff::new(0.12).unwrap(), &spread), [0, 1, 2]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = EtaCutoff::new(0.9).unwrap().with_min_tokens_to_keep(2).unwrap();
        assert_eq!(kept_of(processor, &[0.01, 0.98, 0.007, 0.003]), [0, 1]);
    }

    #[test]
    fn only_probabilities_between_none_and_all_are_accepted() {
        for epsilon in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = EtaCutoff::new(epsilon).unwrap_err().to_string();
            assert!(error.starts_with("`eta_cutoff` is"), "{error}");
        }
    }
}
