//! What a run takes of a GPU.

use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::data::blocks;
use gpt2_train::{Control, Dataset, Event, Trainer, TrainingConfig};

use super::support::rule;

/// Steps of the run, and those after which nothing new may be reserved.
const STEPS: usize = 200;
const SETTLED: usize = 50;

#[test]
fn memory_of_a_gpu_is_flat_over_the_steps() {
    let device = device::test_device();
    if !device::is_gpu(&device) {
        println!("skipped: it is about GPUs");
        return;
    }
    let config = Gpt2Config {
        vocab_size: 40,
        n_positions: 32,
        n_embd: 32,
        n_layer: 2,
        n_head: 4,
        ..Gpt2Config::gpt2()
    };
    let model = Gpt2::init(&config, 1, &device).unwrap();
    // Dropout, clipping and micro-batches of two lengths: the last one of an epoch has fewer rows.
    let data = Dataset::new("training", blocks(&[rule(7 * 32)], None, 32), &config).unwrap();
    let options = TrainingConfig {
        max_steps: Some(STEPS),
        per_device_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..TrainingConfig::default()
    };
    let mut reserved = Vec::new();
    let mut note = |event: &Event, _: &Gpt2| {
        if let Event::Step(_) = event {
            reserved.push(device.memory_pool_usage().unwrap().bytes_reserved);
        }
        Ok(Control::Continue)
    };
    Trainer::new(options).unwrap().run(model, &data, None, &mut note).unwrap();
    assert_eq!(reserved.len(), STEPS);
    let (settled, last) = (reserved[SETTLED], reserved[STEPS - 1]);
    assert_eq!(settled, last, "{settled} bytes after {SETTLED} steps, {last} after {STEPS}");
}
