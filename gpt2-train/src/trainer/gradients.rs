//! Loss and gradients of one optimizer step.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use gpt2_core::{Error as CoreError, Gpt2};

use crate::config::TrainingConfig;
use crate::data::{ClmBatch, Example};
use crate::objective::clm_loss;
use crate::optim::require_gradients;
use crate::{Result, parallel};

/// Mean loss over the `scored` tokens of all rows, and its gradients with respect to the
/// parameters that are trained, in micro-batches.
pub(super) fn gradients(
    model: &Gpt2,
    config: &TrainingConfig,
    rows: &[&Example],
    scored: usize,
    step: usize,
    is_trained: &[bool],
) -> Result<(f64, GradientsParams)> {
    let plain = require_gradients(model.valid(), is_trained);
    let mut accumulator = GradientsAccumulator::new();
    let mut total = 0.0;
    // Dropout depends on the seed and the step alone, not on what ran before.
    let seed = dropout_seed(config.seed, step);
    for (micro, rows) in rows.chunks(config.per_device_batch_size).enumerate() {
        let parts = parallel::parts(rows, &model.device());
        let results = parallel::map(&parts, |part, rows| {
            let seed = seed ^ ((micro as u64) << 16) ^ part as u64;
            loss_and_gradients(&plain, rows, scored, seed)
        });
        for result in results {
            if let Some((loss, gradients)) = result? {
                accumulator.accumulate(model, gradients);
                total += loss;
            }
        }
    }
    Ok((total, accumulator.grads()))
}

/// The part of the loss, and of its gradients, that comes from some rows; `plain` is off the
/// training device.
fn loss_and_gradients(
    plain: &Gpt2,
    rows: &[&Example],
    scored: usize,
    dropout_seed: u64,
) -> Result<Option<(f64, GradientsParams)>> {
    // Leaves of its own: graphs that share none can be walked at the same time.
    let model = plain.clone().train();
    let Some(mut batch) = ClmBatch::new(rows, &model.device()) else { return Ok(None) };
    batch.input.dropout_seed = Some(dropout_seed);
    let loss = clm_loss(&model, &batch) / scored as f64;
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let loss = loss.try_into_scalar::<f32>().map_err(CoreError::compute)?;
    Ok(Some((f64::from(loss), gradients)))
}

/// A seed for every step of a run; the masks are hashes of it.
fn dropout_seed(seed: u64, step: usize) -> u64 {
    seed ^ ((step as u64) << 32)
}
