//! A step whose numbers may still be on their way.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use gpt2_core::device::Readback;

use super::gradients::Losses;
use crate::Result;
use crate::config::TrainingConfig;
use crate::data::Example;
use crate::optim::{clip_factors, total_norm};
use crate::plan::PlannedStep;
use crate::record::{SkipReason, StepRecord};

/// A step that the device has been asked for.
pub(super) struct Launched {
    /// All that is known of it without the device.
    record: StepRecord,
    scored: usize,
    losses: Readback,
    loss_factor: f64,
    squares: Readback,
    start: Instant,
}

/// A step, with the numbers that only the device knew.
pub(super) struct Measured {
    /// What is told of it.
    pub record: StepRecord,
    /// Tokens that its loss is the mean of.
    pub scored: usize,
    /// Norm of the gradient of every parameter.
    norms: Vec<f64>,
}

/// What a step is before the device has computed anything.
pub(super) fn planned(
    step: usize,
    epoch: f64,
    rows: &[&Example],
    planned: &PlannedStep<'_>,
    config: &TrainingConfig,
) -> StepRecord {
    let lengths = rows.iter().map(|row| row.input_ids.len());
    let tokens = lengths.clone().sum();
    let squares: usize = lengths.map(|length| length * length).sum();
    StepRecord {
        step,
        epoch,
        loss: f64::NAN,
        learning_rate: planned.group_rates[planned.group_rates.len() - 1],
        lowest_learning_rate: planned.group_rates[0],
        adam_beta1: planned.adam_beta1.unwrap_or(config.adam_beta1),
        grad_norm: f64::NAN,
        clipped_tensors: 0,
        tokens,
        sequence_length: squares as f64 / tokens as f64,
        tokens_per_second: f64::NAN,
        skipped: None,
    }
}

impl Launched {
    /// Asks the device for the numbers of a step that was begun at `start`.
    pub fn new(
        record: StepRecord,
        scored: usize,
        losses: Losses,
        squares: Tensor<1>,
        start: Instant,
    ) -> Self {
        let loss_factor = losses.factor;
        let (losses, squares) = (Readback::of(losses.all()), Readback::of(squares));
        Self { record, scored, losses, loss_factor, squares, start }
    }

    /// Waits for them. The time of the step is from its beginning, or from when the one before was done.
    ///
    /// # Errors
    /// [`gpt2_core::Error::Compute`] when the device fails.
    pub fn measure(self, before: Option<Instant>) -> Result<Measured> {
        let numbers = |values: TensorData| values.iter::<f64>().collect::<Vec<_>>();
        let loss = numbers(self.losses.wait()?).into_iter().sum::<f64>() / self.loss_factor;
        let norms: Vec<f64> = numbers(self.squares.wait()?).into_iter().map(f64::sqrt).collect();
        let start = before.map_or(self.start, |before| before.max(self.start));
        let record = StepRecord {
            loss,
            grad_norm: total_norm(&norms),
            tokens_per_second: self.record.tokens as f64 / start.elapsed().as_secs_f64(),
            ..self.record
        };
        Ok(Measured { record, scored: self.scored, norms })
    }
}

impl Measured {
    /// The factors on the gradients that keep their norms within bounds.
    pub fn factors(&self, config: &TrainingConfig) -> Vec<f64> {
        match config.max_grad_norm {
            0.0 => vec![1.0; self.norms.len()],
            most => clip_factors(&self.norms, config.clip, most),
        }
    }

    /// The whole record.
    pub fn judged(self, config: &TrainingConfig, skipped: Option<SkipReason>) -> StepRecord {
        let clipped_tensors = self.factors(config).iter().filter(|&&factor| factor < 1.0).count();
        StepRecord { clipped_tensors, skipped, ..self.record }
    }
}
