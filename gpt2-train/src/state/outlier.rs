//! Steps that are far from those before them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Steps that are remembered.
const WINDOW: usize = 128;
/// Steps before the first one is judged.
const LEAST: usize = WINDOW / 2;
/// Steps in a row whose loss or gradient is no number, before the run ends.
const MOST_NON_FINITE: usize = 10;

/// Loss and gradient norm of the latest steps, and what they say of the next one.
///
/// Equals `SkipStepOptimizer` of OLMo-core, which remembers skipped steps too, so that a new level
/// is accepted in the end. Two things differ: only what lies *above* the mean is an outlier, and
/// what is no number is one and is not remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutlierGuard {
    losses: VecDeque<f64>,
    grad_norms: VecDeque<f64>,
    /// Steps in a row that were no numbers.
    non_finite: usize,
}

impl OutlierGuard {
    /// Whether a step is an outlier among those before it, which it then joins.
    pub fn judge(&mut self, loss: f64, grad_norm: f64, most: f64) -> bool {
        if !loss.is_finite() || !grad_norm.is_finite() {
            self.non_finite += 1;
            return true;
        }
        self.non_finite = 0;
        let is_outlier = self.losses.len() >= LEAST
            && (lies_above(&self.losses, loss, most)
                || lies_above(&self.grad_norms, grad_norm, most));
        for (window, value) in [(&mut self.losses, loss), (&mut self.grad_norms, grad_norm)] {
            if window.len() == WINDOW {
                window.pop_front();
            }
            window.push_back(value);
        }
        is_outlier
    }

    /// Whether too many steps in a row were no numbers.
    pub fn gives_up(&self) -> bool {
        self.non_finite > MOST_NON_FINITE
    }
}

/// Whether a value is more than `most` standard deviations above the mean of a window.
fn lies_above(window: &VecDeque<f64>, value: f64, most: f64) -> bool {
    let count = window.len() as f64;
    let mean = window.iter().sum::<f64>() / count;
    let squares: f64 = window.iter().map(|value| (value - mean).powi(2)).sum();
    value - mean > most * (squares / (count - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard that has seen `steps` steps around a loss of 3 and a norm of 1.
    fn after(steps: usize) -> OutlierGuard {
        let mut guard = OutlierGuard::default();
        for step in 0..steps {
            let noise = if step % 2 == 0 { 0.1 } else { -0.1 };
            assert!(!guard.judge(3.0 + noise, 1.0 + noise, 6.0));
        }
        guard
    }

    #[test]
    fn a_step_is_judged_once_half_the_window_is_filled() {
        assert!(!after(LEAST - 1).judge(30.0, 1.0, 6.0));
        assert!(after(LEAST).judge(30.0, 1.0, 6.0));
    }

    #[test]
    fn either_number_makes_an_outlier_and_only_above_the_mean() {
        for (loss, grad_norm, expected) in [
            (3.5, 1.5, false), // 5 of 0.1
            (3.7, 1.0, true),
            (3.0, 1.7, true),
            (0.1, 0.1, false),
        ] {
            assert_eq!(after(100).judge(loss, grad_norm, 6.0), expected, "{loss} {grad_norm}");
        }
    }

    #[test]
    fn the_window_moves_and_a_new_level_is_accepted() {
        let mut guard = after(3 * WINDOW);
        assert_eq!((guard.losses.len(), guard.grad_norms.len()), (WINDOW, WINDOW));
        let skipped = (0..WINDOW).filter(|_| guard.judge(5.0, 1.0, 6.0)).count();
        assert!((1..WINDOW / 2).contains(&skipped), "{skipped}");
    }

    #[test]
    fn what_is_no_number_is_skipped_a_few_times_and_not_remembered() {
        let mut guard = after(2);
        for _ in 0..MOST_NON_FINITE {
            assert!(guard.judge(f64::NAN, 1.0, 6.0) && !guard.gives_up());
        }
        let mut lucky = guard.clone();
        assert!(!lucky.judge(3.0, 1.0, 6.0));
        assert_eq!((lucky.losses.len(), lucky.non_finite), (3, 0));
        assert!(guard.judge(3.0, f64::INFINITY, 6.0) && guard.gives_up());
    }
}
