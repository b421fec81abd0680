//! Learning rates and beta1 over the steps of a run.

mod one_cycle;

pub use one_cycle::OneCycle;

use serde::{Deserialize, Serialize};

/// A schedule by its name, as `lr_scheduler_type` of `transformers` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LrScheduler {
    /// Falls in a straight line to 0 at the last step
    #[default]
    Linear,
    /// Falls along half a cosine to 0 at the last step
    Cosine,
    /// Stays
    Constant,
    /// Rises from 1/25 for a quarter of the steps, then falls to nearly 0; beta1 goes from 0.95 to
    /// 0.85 and back, whatever `--adam-beta1`
    OneCycle,
}

impl LrScheduler {
    /// The schedule of this name; one-cycle has a rise of its own and no `warmup_steps`.
    #[must_use]
    pub fn schedule(self, warmup_steps: usize) -> Schedule {
        match self {
            Self::Linear => Schedule::Linear { warmup_steps },
            Self::Cosine => Schedule::Cosine { warmup_steps },
            Self::Constant => Schedule::Constant { warmup_steps },
            Self::OneCycle => Schedule::OneCycle(OneCycle::default()),
        }
    }
}

/// The course of the learning rate, and of beta1 where it has one.
///
/// The first `warmup_steps` rise in a straight line from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// `get_linear_schedule_with_warmup` of `transformers`.
    Linear {
        /// Steps of the rise.
        warmup_steps: usize,
    },
    /// The same line, but the first step has rate 0 even without a warm-up: the schedule of
    /// tfdlg, which trained colorfulscoop's Japanese GPT-2.
    LinearFromZero {
        /// Steps of the rise.
        warmup_steps: usize,
    },
    /// `get_cosine_schedule_with_warmup` of `transformers`.
    Cosine {
        /// Steps of the rise.
        warmup_steps: usize,
    },
    /// `get_constant_schedule_with_warmup` of `transformers`.
    Constant {
        /// Steps of the rise.
        warmup_steps: usize,
    },
    /// `fit_one_cycle` of fastai.
    OneCycle(OneCycle),
    /// `SchedExp` of fastai: rises geometrically from `start` times the highest rate to the highest
    /// rate, which would be that of one step more.
    Exponential {
        /// Factor of the first step, above 0.
        start: f64,
    },
}

impl Schedule {
    /// Factor on the learning rate at `step`, counted from 0, of `total` steps.
    #[must_use]
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let warmup = match *self {
            Self::OneCycle(cycle) => return cycle.factor(step, total),
            Self::Exponential { start } => {
                let progress = (step as f64 / total.max(1) as f64).min(1.0);
                return start.powf(1.0 - progress);
            }
            Self::LinearFromZero { .. } if step == 0 => return 0.0,
            Self::Linear { warmup_steps }
            | Self::LinearFromZero { warmup_steps }
            | Self::Cosine { warmup_steps }
            | Self::Constant { warmup_steps } => warmup_steps,
        };
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let rest = total.saturating_sub(warmup).max(1) as f64;
        let progress = ((step - warmup) as f64 / rest).min(1.0);
        match self {
            Self::Cosine { .. } => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Self::Constant { .. } => 1.0,
            _ => 1.0 - progress,
        }
    }

    /// Beta1 at `step` of `total`, where the schedule has a course for it.
    #[must_use]
    pub fn adam_beta1(&self, step: usize, total: usize) -> Option<f64> {
        match self {
            Self::OneCycle(cycle) => Some(cycle.momentum(step, total)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: Schedule, total: usize) -> Vec<f64> {
        (0..=total).map(|step| schedule.factor(step, total)).collect()
    }

    #[test]
    fn linear_rises_and_falls_as_in_transformers() {
        let linear = factors(Schedule::Linear { warmup_steps: 2 }, 6);
        assert_eq!(linear, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(linear, factors(Schedule::LinearFromZero { warmup_steps: 2 }, 6));
    }

    #[test]
    fn without_warmup_only_the_line_from_zero_loses_its_first_step() {
        let of = |warmup_steps| factors(Schedule::LinearFromZero { warmup_steps }, 4);
        assert_eq!(of(0), [0.0, 0.75, 0.5, 0.25, 0.0]);
        for name in [LrScheduler::Linear, LrScheduler::Cosine, LrScheduler::Constant] {
            assert_eq!(name.schedule(0).factor(0, 10), 1.0);
        }
        assert!((LrScheduler::Cosine.schedule(0).factor(5, 10) - 0.5).abs() < 1e-12);
        assert_eq!(LrScheduler::Constant.schedule(0).factor(9, 10), 1.0);
    }

    #[test]
    fn exponential_multiplies_by_the_same_number_at_every_step() {
        let found = factors(Schedule::Exponential { start: 1e-4 }, 4);
        for (factor, expected) in found.iter().zip([1e-4, 1e-3, 1e-2, 0.1, 1.0]) {
            assert!((factor / expected - 1.0).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn only_one_cycle_moves_beta1() {
        assert_eq!(LrScheduler::Linear.schedule(0).adam_beta1(0, 10), None);
        assert_eq!(LrScheduler::OneCycle.schedule(0).adam_beta1(0, 10), Some(0.95));
    }
}
