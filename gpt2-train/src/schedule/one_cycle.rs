//! The one-cycle policy (Smith and Topin 2019) as fastai runs it.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Rate up and down, momentum down and up, each along half a cosine; the defaults are fastai's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneCycle {
    /// Share of the steps in which the rate rises.
    pub pct_start: f64,
    /// What the highest rate is divided by at the first step.
    pub div: f64,
    /// What the highest rate is divided by at the end.
    pub div_final: f64,
    /// Beta1 at the start, at the highest rate and at the end.
    pub moms: [f64; 3],
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { pct_start: 0.25, div: 25.0, div_final: 1e5, moms: [0.95, 0.85, 0.95] }
    }
}

impl OneCycle {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first one that is wrong.
    pub fn validate(&self) -> Result<()> {
        let above_zero = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let [first, middle, last] = self.moms;
        for (option, value, good, expected) in [
            ("pct_start", self.pct_start, share(self.pct_start), "in [0, 1)"),
            ("div", self.div, above_zero(self.div), "above 0"),
            ("div_final", self.div_final, above_zero(self.div_final), "above 0"),
            ("moms", first, share(first), "in [0, 1)"),
            ("moms", middle, share(middle), "in [0, 1)"),
            ("moms", last, share(last), "in [0, 1)"),
        ] {
            if !good {
                return Err(Error::option(option, value, format!("a number {expected}")));
            }
        }
        Ok(())
    }

    /// Factor on the highest learning rate at `step`, counted from 0, of `total` steps.
    #[must_use]
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        self.between([1.0 / self.div, 1.0, 1.0 / self.div_final], step, total)
    }

    /// Beta1 at `step` of `total`.
    #[must_use]
    pub fn momentum(&self, step: usize, total: usize) -> f64 {
        self.between(self.moms, step, total)
    }

    fn between(&self, [first, middle, last]: [f64; 3], step: usize, total: usize) -> f64 {
        let at = (step as f64 / total.max(1) as f64).min(1.0);
        let (start, end, progress) = if at < self.pct_start {
            (first, middle, at / self.pct_start)
        } else {
            (middle, last, (at - self.pct_start) / (1.0 - self.pct_start))
        };
        start + (1.0 + (PI * (1.0 - progress)).cos()) * (end - start) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_for_a_quarter_and_momentum_mirrors_it() {
        let cycle = OneCycle::default();
        for (step, factor, momentum) in
            [(0, 0.04, 0.95), (5, 0.52, 0.9), (10, 1.0, 0.85), (25, 0.5, 0.9), (40, 1e-5, 0.95)]
        {
            assert!((cycle.factor(step, 40) - factor).abs() < 1e-5, "{step}");
            assert!((cycle.momentum(step, 40) - momentum).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn without_a_rise_it_starts_at_the_top() {
        let cycle = OneCycle { pct_start: 0.0, ..OneCycle::default() };
        assert_eq!((cycle.factor(0, 8), cycle.momentum(0, 8)), (1.0, 0.85));
    }

    #[test]
    fn every_bad_number_is_named() {
        let good = OneCycle::default();
        for (cycle, option) in [
            (OneCycle { pct_start: 1.0, ..good }, "pct_start"),
            (OneCycle { div: 0.0, ..good }, "div"),
            (OneCycle { div_final: f64::NAN, ..good }, "div_final"),
            (OneCycle { moms: [0.9, 1.0, 0.9], ..good }, "moms"),
        ] {
            let message = cycle.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{option}`")), "{message}");
        }
        good.validate().unwrap();
    }
}
