//! What a step costs in memory, whatever the length of the text.

use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_infer::{GenerationConfig, Generator};

use crate::support::{greedy, model_config, sampled};

/// Bytes that a generation of `new` tokens allocates.
fn allocated(generator: &Generator, config: &GenerationConfig, new: usize) -> u64 {
    let config = GenerationConfig { max_new_tokens: Some(new), ..config.clone() };
    let prompts = vec![vec![5, 9, 2], vec![8]];
    let run = || {
        generator.generate(&prompts, &config).expect("the options are valid");
    };
    // The counter is the thread's: on a pool of one thread nothing escapes it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| allocation_counter::measure(run).bytes_total)
}

/// The text is three times as long at the end as at the beginning.
#[test]
fn a_late_step_allocates_no_more_than_an_early_one() {
    let config = Gpt2Config { n_positions: 512, ..model_config() };
    let device = device::by_name("flex").expect("this build has flex");
    let generator = Generator::new(&Gpt2::init(&config, 3, &device).unwrap());
    let penalties = GenerationConfig {
        top_k: 20,
        top_p: 0.9,
        repetition_penalty: 1.2,
        no_repeat_ngram_size: 9,
        num_return_sequences: 2,
        ..sampled(1, 4)
    };
    let beams = GenerationConfig { num_beams: 3, ..greedy(1) };
    for config in [greedy(1), penalties, beams] {
        // The longest comes first, so that all have the same memory for their cache.
        let [late, middle, early] = [450, 300, 150].map(|new| {
            allocated(&generator, &config, 450);
            allocated(&generator, &config, new)
        });
        let (late, early) = (late - middle, middle - early);
        // How many beams change places differs from step to step; a copy of the cache, or of the
        // scores of attention, would make the late steps half as dear again.
        assert!(late < early + early / 20, "{early} bytes, then {late}: {config:?}");
    }
}
