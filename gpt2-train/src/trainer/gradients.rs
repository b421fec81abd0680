//! Loss and gradients of one optimizer step.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use gpt2_core::Gpt2;

use super::checkpointed;
use super::sums::GradientSums;
use crate::config::TrainingConfig;
use crate::data::{ClmBatch, Example};
use crate::objective::scaled_clm_loss;
use crate::optim::require_gradients;
use crate::precision::ComputeDType;
use crate::state::RunState;
use crate::{Result, parallel};

/// The loss of a step in parts, which stay on their device.
pub(super) struct Losses {
    parts: Vec<Tensor<1>>,
    /// What each of them has been multiplied with.
    pub factor: f64,
}

impl Losses {
    /// All parts, `[parts]`.
    pub fn all(self) -> Tensor<1> {
        Tensor::cat(self.parts, 0)
    }
}

/// Mean loss over the `scored` tokens of all rows, and its gradients with respect to the
/// parameters that are trained, in micro-batches.
pub(super) fn gradients(
    model: &Gpt2,
    config: &TrainingConfig,
    rows: &[&Example],
    scored: usize,
    state: &RunState,
    is_trained: &[bool],
) -> Result<(Losses, GradientsParams)> {
    let mut sums = GradientSums::new(1.0);
    let mut losses = Vec::new();
    // Dropout depends on the seed and the step alone, not on what ran before.
    let seed = dropout_seed(config.seed, state.step);
    // What is computed with, once for all parts.
    let plain = require_gradients(model.valid(), is_trained);
    let compute = match config.dtype {
        ComputeDType::F32 => plain,
        dtype => plain.autocast(dtype.float()),
    };
    for (micro, rows) in rows.chunks(config.per_device_batch_size).enumerate() {
        let parts = parallel::parts(rows, &compute)?;
        let work = |part, rows: &[&Example]| {
            // Leaves of its own: graphs that share none can be walked at the same time.
            let leaves = compute.clone().train();
            let Some(mut batch) = ClmBatch::new(rows, &leaves.device()) else { return Ok(None) };
            batch.input.dropout_seed = Some(seed ^ ((micro as u64) << 16) ^ part as u64);
            let pass = match config.gradient_checkpointing {
                true => checkpointed::loss_and_gradients,
                false => loss_and_gradients,
            };
            Ok(Some(pass(&leaves, &batch, scored, state.loss_factor())))
        };
        parallel::for_each(&parts, work, |found| {
            if let Some((found, gradients)) = found {
                sums.add_sums(model, gradients);
                losses.extend(found);
            }
        })?;
    }
    Ok((Losses { parts: losses, factor: state.loss_factor() }, sums.into_params()))
}

/// Summed loss of a batch times `loss_factor / scored`, and its gradients, from one graph.
fn loss_and_gradients(
    model: &Gpt2,
    batch: &ClmBatch,
    scored: usize,
    loss_factor: f64,
) -> (Vec<Tensor<1>>, GradientSums) {
    let loss = scaled_clm_loss(model, batch, loss_factor / scored as f64);
    let mut gradients = loss.backward();
    let mut sums = GradientSums::new(loss_factor);
    sums.add(model, &mut gradients);
    (vec![loss.inner()], sums)
}

/// A seed for every step of a run; the masks are hashes of it.
fn dropout_seed(seed: u64, step: usize) -> u64 {
    seed ^ ((step as u64) << 32)
}

#[cfg(test)]
mod tests {
    use gpt2_core::{Gpt2Config, device};

    use super::*;
    use crate::optim::{AdamForm, AdamW, AdamWConfig, AdamWStep, Factors};

    /// Bytes that the optimizer allocates in its second step, on weights of 65 KB and more each: names, graph nodes and lists
    /// of tensors, measured 374,060.
    fn bytes_of_a_step(config: &TrainingConfig) -> u64 {
        let extents = Gpt2Config {
            vocab_size: 2000,
            n_positions: 16,
            n_embd: 128,
            n_layer: 2,
            n_head: 2,
            ..Gpt2Config::gpt2()
        };
        let mut model = Gpt2::init(&extents, 1, &device::by_name("flex").unwrap()).unwrap().train();
        let constants = AdamWConfig {
            form: AdamForm::Torch,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            weight_decay: 0.01,
        };
        let mut optimizer = AdamW::new(constants);
        let rows = [Example::new(vec![1, 5, 2, 9, 3]), Example::new(vec![4, 8, 15, 16])];
        let rows: Vec<&Example> = rows.iter().collect();
        let count = model.parameters().len();
        let mut counted = 0;
        for _ in 0..2 {
            let state = RunState::new(config);
            let trained = vec![true; count];
            let (_, gradients) = gradients(&model, config, &rows, 7, &state, &trained).unwrap();
            let step = AdamWStep {
                learning_rates: &vec![1e-3; count],
                factors: Factors::Known(&vec![0.5; count]),
                adam_beta1: None,
            };
            let mut moved = None;
            let update = || moved = Some(optimizer.step(model, gradients, step));
            counted = allocation_counter::measure(update).bytes_total;
            model = moved.unwrap();
        }
        counted
    }

    #[test]
    fn a_backward_pass_leaves_the_weights_to_the_optimizer_alone() {
        if device::by_name("flex").is_err() {
            return;
        }
        let plain = TrainingConfig::default();
        let runs = [
            TrainingConfig { gradient_checkpointing: true, ..plain.clone() },
            TrainingConfig { dtype: ComputeDType::Bf16, ..plain.clone() },
            TrainingConfig { per_device_batch_size: 1, ..plain.clone() },
            plain,
        ];
        // The counter is the thread's: on a pool of one thread nothing escapes it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for config in runs {
            let bytes = pool.install(|| bytes_of_a_step(&config));
            assert!(bytes < 420_000, "{bytes} with {config:?}");
        }
    }
}
