//! Loss and gradients of one optimizer step.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use gpt2_core::{Error as CoreError, Gpt2};

use super::checkpointed;
use super::sums::GradientSums;
use crate::config::TrainingConfig;
use crate::data::{ClmBatch, Example};
use crate::objective::scaled_clm_loss;
use crate::optim::require_gradients;
use crate::precision::ComputeDType;
use crate::state::RunState;
use crate::{Result, parallel};

/// Mean loss over the `scored` tokens of all rows, and its gradients with respect to the
/// parameters that are trained, in micro-batches.
pub(super) fn gradients(
    model: &Gpt2,
    config: &TrainingConfig,
    rows: &[&Example],
    scored: usize,
    state: &RunState,
    is_trained: &[bool],
) -> Result<(f64, GradientsParams)> {
    let mut accumulator = GradientsAccumulator::new();
    let mut total = 0.0;
    // Dropout depends on the seed and the step alone, not on what ran before.
    let seed = dropout_seed(config.seed, state.step);
    // What is computed with, once for all parts.
    let plain = require_gradients(model.valid(), is_trained);
    let compute = match config.dtype {
        ComputeDType::F32 => plain,
        dtype => plain.autocast(dtype.float()),
    };
    for (micro, rows) in rows.chunks(config.per_device_batch_size).enumerate() {
        let parts = parallel::parts(rows, &model.device());
        let results = parallel::map(&parts, |part, rows| {
            // Leaves of its own: graphs that share none can be walked at the same time.
            let leaves = compute.clone().train();
            let Some(mut batch) = ClmBatch::new(rows, &leaves.device()) else { return Ok(None) };
            batch.input.dropout_seed = Some(seed ^ ((micro as u64) << 16) ^ part as u64);
            let pass = match config.gradient_checkpointing {
                true => checkpointed::loss_and_gradients,
                false => loss_and_gradients,
            };
            pass(&leaves, &batch, scored, state.loss_factor()).map(Some)
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

/// Summed loss of a batch divided by `scored`, and its gradients, from one graph.
fn loss_and_gradients(
    model: &Gpt2,
    batch: &ClmBatch,
    scored: usize,
    loss_factor: f64,
) -> Result<(f64, GradientsParams)> {
    let loss = scaled_clm_loss(model, batch, loss_factor / scored as f64);
    let mut gradients = loss.clone().backward();
    let mut sums = GradientSums::new(loss_factor);
    sums.add(model, &mut gradients);
    let loss = loss.try_into_scalar::<f32>().map_err(CoreError::compute)?;
    Ok((f64::from(loss) / loss_factor, sums.into_params()))
}

/// A seed for every step of a run; the masks are hashes of it.
fn dropout_seed(seed: u64, step: usize) -> u64 {
    seed ^ ((step as u64) << 32)
}
