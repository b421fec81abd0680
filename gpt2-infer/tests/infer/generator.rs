//! What a generator holds beside its model.

use std::ops::ControlFlow;

use gpt2_infer::logits::{EXCLUDED, LogitsProcessor};
use gpt2_infer::{FinishReason, GenerationConfig, Generator, next_tokens};

use crate::support::{VOCAB, greedy, ids, model, prompts, sampled};

/// Lets only even ids through.
#[derive(Debug, Clone)]
struct Even;

impl LogitsProcessor for Even {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        for score in scores.iter_mut().skip(1).step_by(2) {
            *score = EXCLUDED;
        }
    }
}

#[test]
fn a_processor_of_the_callers_own_has_its_say_in_every_strategy() {
    let generator = Generator::new(&model()).with_processor(Even);
    for config in [greedy(8), sampled(8, 2), GenerationConfig { num_beams: 3, ..greedy(8) }] {
        for sequence in generator.generate(&prompts(), &config).unwrap().iter().flatten() {
            assert!(sequence.continuation().iter().all(|id| id % 2 == 0), "{sequence:?}");
        }
    }
}

#[test]
fn the_memory_of_a_call_serves_the_next() {
    let generator = Generator::new(&model());
    for config in [greedy(12), GenerationConfig { num_beams: 4, ..greedy(5) }, sampled(9, 3)] {
        for prompts in [prompts(), vec![vec![7]], prompts()] {
            let found = generator.generate(&prompts, &config).unwrap();
            let found: Vec<_> = found.into_iter().flatten().map(|text| text.ids).collect();
            assert_eq!(found, ids(&model(), &prompts, &config));
        }
    }
}

#[test]
fn one_generator_serves_many_threads() {
    let generator = Generator::new(&model());
    let run = || generator.generate(&prompts(), &greedy(10)).unwrap();
    let expected = run();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn log_probabilities_are_those_of_the_model_and_of_the_choice() {
    let config = GenerationConfig { top_k: 5, temperature: 0.6, log_probs: true, ..sampled(6, 4) };
    let generator = Generator::new(&model());
    for sequence in generator.generate(&prompts(), &config).unwrap().iter().flatten() {
        let list = sequence.log_probs.as_ref().unwrap();
        assert_eq!(list.len(), sequence.continuation().len());
        for (at, log_probs) in list.iter().enumerate() {
            let length = sequence.prompt_length + at;
            let (before, id) = (&sequence.ids[..length], sequence.ids[length]);
            let of = |processed| {
                let all = next_tokens(&model(), before, VOCAB, processed).unwrap();
                all.iter().find(|next| next.id == id).unwrap().probability.ln()
            };
            assert!((log_probs.model - of(None)).abs() < 1e-4);
            assert!((log_probs.processed - of(Some(&config))).abs() < 1e-4);
        }
    }
}

#[test]
fn sequences_share_the_reading_of_their_prompt_and_nothing_else() {
    let config = GenerationConfig { num_return_sequences: 3, ..sampled(8, 6) };
    let together = ids(&model(), &prompts(), &config);
    let without_cache = GenerationConfig { use_cache: false, ..config.clone() };
    assert_eq!(together, ids(&model(), &prompts(), &without_cache));
}

#[test]
fn sequences_that_have_to_wait_for_memory_are_the_same() {
    let generator = Generator::new(&model());
    let three = GenerationConfig { num_return_sequences: 3, ..sampled(8, 6) };
    for config in [three, GenerationConfig { num_beams: 3, ..greedy(8) }] {
        let expected = ids(&model(), &prompts(), &config);
        // One row at a time, and about four.
        for bytes in [0, 60_000] {
            let generator = generator.clone().with_memory_limit(bytes);
            let found = generator.generate(&prompts(), &config).unwrap();
            let found: Vec<_> = found.into_iter().flatten().map(|text| text.ids).collect();
            assert_eq!(found, expected, "{bytes}");
        }
    }
}

#[test]
fn what_waits_is_not_begun_after_the_caller_has_enough() {
    let generator = Generator::new(&model()).with_memory_limit(0);
    // In the middle of a sequence, and with its last token.
    for (enough, expected) in [(6, [4, 2, 0, 0]), (4, [4, 0, 0, 0])] {
        let mut tokens = 0;
        let sequences = generator.generate_with(&prompts(), &greedy(4), |_| {
            tokens += 1;
            if tokens == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let sequences = sequences.unwrap();
        let lengths: Vec<_> = sequences.iter().map(|s| s[0].continuation().len()).collect();
        assert_eq!(lengths, expected);
    }
    let out_of_time = GenerationConfig { max_time: Some(1e-9), num_beams: 2, ..greedy(4) };
    let sequences = generator.generate(&prompts(), &out_of_time).unwrap();
    let lengths: Vec<_> = sequences.iter().map(|s| s[0].continuation().len()).collect();
    assert_eq!(lengths, [1, 0, 0, 0]);
    assert!(sequences.iter().all(|s| s[0].finish_reason == FinishReason::Time));
}
