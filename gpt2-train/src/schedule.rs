//! Learning rates over the steps of a run.

use serde::{Deserialize, Serialize};

/// Shape of the learning rate after the warm-up; names of `lr_scheduler_type` in `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LrScheduler {
    /// Falls in a straight line to 0 at the last step.
    #[default]
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
    /// Stays.
    Constant,
}

impl LrScheduler {
    /// Factor on the learning rate at `step`, counted from 0, of `total` steps, of which the
    /// first `warmup` rise in a straight line from 0.
    ///
    /// Equals `get_linear_schedule_with_warmup` and its siblings in `transformers`.
    #[must_use]
    pub fn factor(self, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup.max(1) as f64;
        }
        let rest = total.saturating_sub(warmup).max(1) as f64;
        let progress = ((step - warmup) as f64 / rest).min(1.0);
        match self {
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Self::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_rises_and_falls_as_in_transformers() {
        let factors: Vec<f64> =
            (0..=6).map(|step| LrScheduler::Linear.factor(step, 2, 6)).collect();
        assert_eq!(factors, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn every_schedule_starts_at_one_without_warmup() {
        for schedule in [LrScheduler::Linear, LrScheduler::Cosine, LrScheduler::Constant] {
            assert_eq!(schedule.factor(0, 0, 10), 1.0);
        }
        assert!((LrScheduler::Cosine.factor(5, 0, 10) - 0.5).abs() < 1e-12);
        assert_eq!(LrScheduler::Constant.factor(9, 0, 10), 1.0);
    }
}
