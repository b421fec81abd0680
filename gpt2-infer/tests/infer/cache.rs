//! The cache changes the time and nothing else.

use gpt2_infer::GenerationConfig;

use crate::support::{POSITIONS, greedy, ids, model, prompts, sampled};

#[test]
fn ids_are_the_same_with_and_without_cache() {
    let model = model();
    for config in [greedy(12), sampled(12, 5)] {
        let without = GenerationConfig { use_cache: false, ..config.clone() };
        assert_eq!(ids(&model, &prompts(), &config), ids(&model, &prompts(), &without));
    }
}

#[test]
fn greedy_ids_are_the_argmax_of_the_full_pass() {
    let model = model();
    let continued = ids(&model, &[vec![5, 9, 2]], &greedy(8)).remove(0);
    for length in 3..continued.len() {
        let next = gpt2_infer::next_tokens(&model, &continued[..length], 1, None).unwrap();
        assert_eq!(next[0].id, continued[length]);
    }
}

#[test]
fn a_short_prompt_goes_on_after_a_long_one_has_filled_the_cache() {
    let model = model();
    let long: Vec<u32> = (0..POSITIONS as u32 - 2).collect();
    let prompts = [vec![7, 8], long, vec![9; 20]];
    let config =
        GenerationConfig { max_length: Some(POSITIONS + 1), ..GenerationConfig::default() };
    let together = ids(&model, &prompts, &config);
    for (prompt, together) in prompts.iter().zip(&together) {
        assert_eq!(together.len(), POSITIONS + 1);
        assert_eq!(ids(&model, std::slice::from_ref(prompt), &config)[0], *together);
    }
}

#[test]
fn backends_give_the_same_ids() {
    let one = model();
    for (_, device) in gpt2_core::device::test_devices() {
        let other = gpt2_core::Gpt2::init(one.config(), 3, &device).unwrap();
        assert_eq!(ids(&other, &prompts(), &greedy(10)), ids(&one, &prompts(), &greedy(10)));
    }
}

#[test]
fn a_model_in_training_generates_without_dropout() {
    let device = gpt2_core::device::test_device().autodiff();
    let plain = model();
    let training = gpt2_core::Gpt2::init(plain.config(), 3, &device).unwrap();
    let config = greedy(10);
    assert_eq!(ids(&training, &prompts(), &config), ids(&plain, &prompts(), &config));
    let next = gpt2_infer::next_tokens(&training, &[4, 5], 3, None).unwrap();
    let again = gpt2_infer::next_tokens(&training, &[4, 5], 3, None).unwrap();
    assert_eq!(next, again);
}
