//! Whether a step is taken.

use super::RunState;
use super::loss_scale::LossScale;
use super::outlier::OutlierGuard;
use crate::config::TrainingConfig;
use crate::precision::ComputeDType;
use crate::record::SkipReason;
use crate::{Error, Result};

impl RunState {
    /// The state of a run that has not begun.
    pub fn new(config: &TrainingConfig) -> Self {
        Self {
            loss_scale: (config.dtype == ComputeDType::F16).then(LossScale::default),
            outliers: config.skip_z_score.map(|_| OutlierGuard::default()),
            ..Self::default()
        }
    }

    /// What the loss of the next step is multiplied with before its backward pass.
    pub fn loss_factor(&self) -> f64 {
        self.loss_scale.map_or(1.0, |loss_scale| loss_scale.scale)
    }

    /// Whether no step is skipped for its numbers, which are then needed only to tell of it.
    pub fn takes_every_step(&self) -> bool {
        self.loss_scale.is_none() && self.outliers.is_none()
    }

    /// Judges a step by its loss and its gradient norm, and counts it if it is skipped.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when one of them is no number and neither the loss scale nor the guard
    /// has an answer to that.
    pub fn judge(
        &mut self,
        config: &TrainingConfig,
        step: usize,
        loss: f64,
        grad_norm: f64,
    ) -> Result<Option<SkipReason>> {
        let reason = self.reason(config, step, loss, grad_norm)?;
        self.skipped_steps += usize::from(reason.is_some());
        Ok(reason)
    }

    fn reason(
        &mut self,
        config: &TrainingConfig,
        step: usize,
        loss: f64,
        grad_norm: f64,
    ) -> Result<Option<SkipReason>> {
        let numbers = [("loss", loss), ("gradient norm", grad_norm)];
        let error = numbers
            .into_iter()
            .find(|(_, value)| !value.is_finite())
            .map(|(quantity, value)| Error::NonFinite { quantity, value, step, checkpoint: None });
        if let Some(loss_scale) = &mut self.loss_scale {
            match error {
                Some(_) if loss_scale.back_off() => return Ok(Some(SkipReason::Overflow)),
                Some(error) => return Err(error),
                None => loss_scale.grow(),
            }
        }
        let Some((guard, most)) = self.outliers.as_mut().zip(config.skip_z_score) else {
            return error.map_or(Ok(None), Err);
        };
        let is_outlier = guard.judge(loss, grad_norm, most);
        match error {
            Some(error) if guard.gives_up() => Err(error),
            _ => Ok(is_outlier.then_some(SkipReason::Outlier)),
        }
    }
}
