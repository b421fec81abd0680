//! `renormalize_logits`.

use super::LogitsProcessor;
use crate::probability::Softmax;

/// Turns scores into logarithms of probabilities, whose exponentials have the sum 1.
///
/// Equals `transformers`' `LogitNormalization`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenormalizeLogits;

impl RenormalizeLogits {
    /// There is nothing to choose.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl LogitsProcessor for RenormalizeLogits {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        let softmax = Softmax::of(scores);
        if softmax.total > 0.0 {
            let (largest, log_total) = (softmax.largest, softmax.total.ln() as f32);
            for score in scores {
                // In this order nothing is lost where scores are large and near to each other.
                *score = *score - largest - log_total;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    #[test]
    fn probabilities_have_the_sum_1_and_what_is_excluded_stays_so() {
        let mut scores = [1e6, 1e6, EXCLUDED];
        RenormalizeLogits::new().process(&[], &mut scores);
        let half = 0.5f32.ln();
        assert_eq!(scores, [half, half, EXCLUDED]);
    }

    #[test]
    fn where_all_is_excluded_it_stays_so() {
        let mut scores = [EXCLUDED; 2];
        RenormalizeLogits::new().process(&[], &mut scores);
        assert_eq!(scores, [EXCLUDED; 2]);
    }
}
