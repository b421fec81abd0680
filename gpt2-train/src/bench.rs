//! Measuring the speed of training, with what [`Trainer::run`] runs.

use std::time::Instant;

use gpt2_core::Gpt2;
use gpt2_core::bench::{Measurement, Shape, Work};

use crate::{Control, Dataset, Event, Example, Result, Trainer, TrainingConfig};

/// Tokens per second of optimizer steps over one batch of random ids: forward, backward, clipping
/// and AdamW, as a [`Trainer`] with these options makes them.
///
/// Batch and number of steps of `options` are not used.
///
/// # Errors
/// As [`Trainer::run`]; [`gpt2_core::Error::Argument`] for a shape that does not fit the model.
pub fn train(
    model: Gpt2,
    shape: Shape,
    repeats: usize,
    options: &TrainingConfig,
) -> Result<Measurement> {
    let (device, dtype) = (model.device(), options.dtype);
    let work = Work::of_step(model.config(), shape, dtype.float());
    let seconds = step_seconds(model, shape, repeats, options)?;
    let what = format!("train {shape}");
    let measured = Measurement::rate(what, shape.tokens(), &seconds, work, &device);
    Ok(measured.in_type(dtype.name()))
}

/// Seconds of each of `repeats` optimizer steps, after one that gives the optimizer its state.
///
/// # Errors
/// As [`train`].
pub fn step_seconds(
    model: Gpt2,
    shape: Shape,
    repeats: usize,
    options: &TrainingConfig,
) -> Result<Vec<f64>> {
    let rows = shape.ids(model.config()).into_iter().map(Example::new).collect();
    let data = Dataset::new("training", rows, model.config())?;
    let trainer = Trainer::new(TrainingConfig {
        max_steps: Some(repeats + 1),
        per_device_batch_size: shape.batch,
        gradient_accumulation_steps: 1,
        ..options.clone()
    })?;
    let (mut seconds, mut start) = (Vec::with_capacity(repeats), None);
    trainer.run(model, &data, None, &mut |event: &Event, _: &Gpt2| {
        if let Event::Step(_) = event {
            // A step is told of when its loss has arrived; a GPU is then at the next one already, which is not waited for.
            let end = Instant::now();
            seconds.extend(start.replace(end).map(|start| (end - start).as_secs_f64()));
        }
        Ok(Control::Continue)
    })?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpt2_core::{Gpt2Config, device};

    #[test]
    fn a_step_is_timed_for_every_repeat_whatever_the_options_say_of_length() {
        let config =
            Gpt2Config { vocab_size: 20, n_embd: 8, n_layer: 1, n_head: 2, ..Gpt2Config::gpt2() };
        let model = Gpt2::init(&config, 1, &device::test_device()).unwrap();
        let options = TrainingConfig {
            max_steps: Some(1),
            gradient_accumulation_steps: 4,
            ..TrainingConfig::default()
        };
        let shape = Shape { batch: 2, seq: 8 };
        let seconds = step_seconds(model.clone(), shape, 3, &options).unwrap();
        assert!(seconds.len() == 3 && seconds.iter().all(|&seconds| seconds > 0.0), "{seconds:?}");
        let long = Shape { batch: 1, seq: 1025 };
        let message = step_seconds(model, long, 1, &options).unwrap_err().to_string();
        assert!(message.contains("1025") && message.contains("1024"), "{message}");
    }
}
