//! `remove_invalid_values`.

use super::{EXCLUDED, LogitsProcessor};

/// Makes scores finite: NaN becomes 0, infinities become the largest and the smallest number.
///
/// Equals `transformers`' `InfNanRemoveLogitsProcessor`, but leaves scores alone that are all
/// excluded: to choose any of these tokens would undo what excluded them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoveInvalidValues;

impl RemoveInvalidValues {
    /// There is nothing to choose.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl LogitsProcessor for RemoveInvalidValues {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        if scores.iter().all(|&score| score == EXCLUDED) {
            return;
        }
        for score in scores {
            *score = if score.is_nan() { 0.0 } else { score.clamp(f32::MIN, f32::MAX) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_finite() {
        let mut scores = [f32::NAN, f32::INFINITY, EXCLUDED, -3.5];
        RemoveInvalidValues::new().process(&[], &mut scores);
        assert_eq!(scores, [0.0, f32::MAX, f32::MIN, -3.5]);
    }

    #[test]
    fn where_all_is_excluded_it_stays_so() {
        let mut scores = [EXCLUDED; 3];
        RemoveInvalidValues::new().process(&[], &mut scores);
        assert_eq!(scores, [EXCLUDED; 3]);
    }
}
