//! A prompt gives in a batch what it gives alone.

use gpt2_infer::{GenerationConfig, generate};

use crate::support::{greedy, ids, model, prompts, sampled};

fn assert_batched_equals_alone(config: &GenerationConfig) {
    let model = model();
    let together = generate(&model, &prompts(), config).unwrap();
    for (prompt, together) in prompts().iter().zip(&together) {
        let alone = generate(&model, std::slice::from_ref(prompt), config).unwrap();
        assert_eq!(alone[0], *together);
    }
}

#[test]
fn greedy_ids_do_not_depend_on_the_neighbours() {
    assert_batched_equals_alone(&greedy(12));
}

#[test]
fn penalties_see_no_padding() {
    assert_batched_equals_alone(&GenerationConfig {
        repetition_penalty: 1.3,
        no_repeat_ngram_size: 2,
        ..greedy(12)
    });
}

#[test]
fn lengths_count_no_padding() {
    let config = GenerationConfig {
        max_new_tokens: None,
        max_length: Some(14),
        min_length: 12,
        ..greedy(1)
    };
    assert_batched_equals_alone(&GenerationConfig { eos_token_id: (0..90).collect(), ..config });
}

#[test]
fn draws_do_not_depend_on_the_neighbours() {
    assert_batched_equals_alone(&GenerationConfig { num_return_sequences: 3, ..sampled(10, 9) });
}

#[test]
fn rows_that_finish_early_do_not_disturb_the_others() {
    let eos_token_id: Vec<u32> = (0..30).collect();
    let config = GenerationConfig { eos_token_id, num_return_sequences: 2, ..sampled(14, 2) };
    assert_batched_equals_alone(&config);
    let lengths: Vec<usize> = ids(&model(), &prompts(), &config).iter().map(Vec::len).collect();
    assert!(lengths.iter().any(|length| *length != lengths[0]), "{lengths:?}");
}

#[test]
fn equal_prompts_of_a_batch_are_continued_differently() {
    let sequences = ids(&model(), &[vec![4, 5], vec![4, 5]], &sampled(12, 1));
    assert_ne!(sequences[0], sequences[1]);
}

#[test]
fn no_prompt_gives_no_sequence() {
    assert!(generate(&model(), &[], &greedy(3)).unwrap().is_empty());
}
