//! Whether memory grows with the steps of a run: on `flex`, whose memory can be counted.

use gpt2_core::{Gpt2, Gpt2Config, device, ops};
use gpt2_train::data::blocks;
use gpt2_train::{Control, Dataset, Event, Trainer, TrainingConfig};

use crate::support::{is_alone, rule};

/// Bytes that what a step tells may add up to: measured 0.
const TOLD: u64 = 4096;

/// Bytes in buffers of operations after every step, and the most that the thread had allocated at a time.
fn run(max_steps: usize) -> (Vec<usize>, u64) {
    let config = Gpt2Config {
        vocab_size: 2000,
        n_positions: 128,
        n_embd: 128,
        n_layer: 2,
        n_head: 2,
        ..Gpt2Config::gpt2()
    };
    let training = TrainingConfig {
        max_steps: Some(max_steps),
        per_device_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..TrainingConfig::default()
    };
    let mut reserved = Vec::new();
    let counted = allocation_counter::measure(|| {
        let model = Gpt2::init(&config, 1, &device::by_name("flex").unwrap()).unwrap();
        let stream = rule(8 * config.n_positions);
        let train = blocks(&[stream], None, config.n_positions);
        let train = Dataset::new("training", train, &config).unwrap();
        let mut note = |event: &Event, _: &Gpt2| {
            if let Event::Step(_) = event {
                reserved.push(ops::reserved_memory());
            }
            Ok(Control::Continue)
        };
        drop(Trainer::new(training).unwrap().run(model, &train, None, &mut note).unwrap());
    });
    (reserved, counted.bytes_max)
}

#[test]
fn a_later_step_holds_no_more_memory_than_an_early_one() {
    if !is_alone("growth::a_later_step_holds_no_more_memory_than_an_early_one", &[]) {
        return;
    }
    // The counter is the thread's: on a pool of one thread nothing escapes it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let (_, early) = run(3);
        assert_eq!(ops::reserved_memory(), 0, "a run that is over keeps nothing");
        let (reserved, late) = run(13);
        assert!(late <= early + TOLD, "{late} after {early}");
        assert!(reserved[3..].iter().all(|&bytes| bytes <= reserved[2]), "{reserved:?}");
    });
}
