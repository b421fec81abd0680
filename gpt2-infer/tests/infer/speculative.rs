//! Guesses change the time and nothing else.

use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_infer::{Error, GenerationConfig, Generator};

use crate::support::{POSITIONS, greedy, model, model_config, prompts, sampled};

/// A model with another number of layers and other weights.
fn other_model(config: Gpt2Config, seed: u64) -> Gpt2 {
    Gpt2::init(&config, seed, &device::test_device()).unwrap()
}

fn configs() -> [GenerationConfig; 4] {
    let ends = (0..12).collect::<Vec<u32>>();
    [
        greedy(14),
        sampled(14, 3),
        GenerationConfig {
            repetition_penalty: 1.3,
            no_repeat_ngram_size: 3,
            eos_token_id: ends.clone(),
            min_new_tokens: Some(4),
            ..greedy(14)
        },
        GenerationConfig {
            temperature: 0.7,
            top_k: 9,
            top_p: 0.9,
            num_return_sequences: 3,
            eos_token_id: ends,
            log_probs: true,
            ..sampled(14, 8)
        },
    ]
}

/// Log-probabilities may differ in the last bits: the batches differ.
fn assert_same(found: &Generator, plain: &Generator, config: &GenerationConfig) {
    let expected = plain.generate(&prompts(), config).unwrap();
    let found = found.generate(&prompts(), config).unwrap();
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert_eq!(found.ids, expected.ids, "{config:?}");
        assert_eq!(found.finish_reason, expected.finish_reason);
        let pairs = found.log_probs.iter().flatten().zip(expected.log_probs.iter().flatten());
        for (found, expected) in pairs {
            assert!((found.model - expected.model).abs() < 1e-4);
            assert!((found.processed - expected.processed).abs() < 1e-4);
        }
    }
}

#[test]
fn a_draft_model_changes_no_token() {
    let plain = Generator::new(&model());
    let near = other_model(model_config(), 3);
    let far = other_model(Gpt2Config { n_layer: 1, ..model_config() }, 4);
    for draft in [near, far] {
        let drafted = plain.clone().with_draft_model(&draft).unwrap();
        for config in configs() {
            for num_assistant_tokens in [1, 4, 50] {
                let config = GenerationConfig {
                    num_assistant_tokens,
                    assistant_confidence_threshold: 0.01,
                    ..config.clone()
                };
                assert_same(&drafted, &plain, &config);
                assert_same(&drafted, &plain, &GenerationConfig { use_cache: false, ..config });
            }
        }
    }
}

#[test]
fn another_draft_model_has_memory_of_its_own() {
    let plain = Generator::new(&model());
    let one_layer = other_model(Gpt2Config { n_layer: 1, ..model_config() }, 4);
    let drafted = plain.clone().with_draft_model(&one_layer).unwrap();
    assert_same(&drafted, &plain, &greedy(14));
    let three_layers = other_model(Gpt2Config { n_layer: 3, ..model_config() }, 4);
    assert_same(&drafted.with_draft_model(&three_layers).unwrap(), &plain, &greedy(14));
}

#[test]
fn a_draft_model_with_a_shorter_context_guesses_as_long_as_it_can() {
    let plain = Generator::new(&model());
    let short = other_model(Gpt2Config { n_positions: 12, ..model_config() }, 3);
    let drafted = plain.clone().with_draft_model(&short).unwrap();
    assert_same(&drafted, &plain, &greedy(18));
}

#[test]
fn prompt_look_up_changes_no_token() {
    let plain = Generator::new(&model());
    for config in configs() {
        for (tokens, size) in [(1, 1), (3, 2), (40, 3)] {
            let looked_up = GenerationConfig {
                prompt_lookup_num_tokens: Some(tokens),
                max_matching_ngram_size: size,
                ..config.clone()
            };
            let expected = plain.generate(&prompts(), &config).unwrap();
            let found = plain.generate(&prompts(), &looked_up).unwrap();
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert_eq!(
                    (&found.ids, found.finish_reason),
                    (&expected.ids, expected.finish_reason)
                );
            }
        }
    }
}

#[test]
fn guesses_reach_the_end_of_the_context_and_go_beyond_it() {
    let plain = Generator::new(&model());
    let drafted = plain.clone().with_draft_model(&other_model(model_config(), 3)).unwrap();
    let to_the_end =
        GenerationConfig { max_length: Some(POSITIONS + 1), max_new_tokens: None, ..greedy(1) };
    assert_same(&drafted, &plain, &to_the_end);
    let beyond = GenerationConfig { sliding_window: Some(10), ..greedy(60) };
    assert_same(&drafted, &plain, &beyond);
    let looked_up = GenerationConfig { prompt_lookup_num_tokens: Some(8), ..beyond.clone() };
    let ids = |config| plain.generate(&prompts(), config).unwrap()[0][0].ids.clone();
    assert_eq!(ids(&looked_up), ids(&beyond));
}

#[test]
fn another_vocabulary_is_refused() {
    let other = other_model(Gpt2Config { vocab_size: 50, ..model_config() }, 1);
    let error = Generator::new(&model()).with_draft_model(&other).unwrap_err();
    assert!(matches!(&error, Error::Option { option, .. } if option == "draft_model"), "{error}");
}

#[test]
fn guesses_come_from_one_place_and_not_to_beams() {
    let drafted = Generator::new(&model()).with_draft_model(&model()).unwrap();
    let twice = GenerationConfig { prompt_lookup_num_tokens: Some(3), ..greedy(4) };
    let beams = GenerationConfig { num_beams: 2, ..greedy(4) };
    for (config, option) in [(twice, "prompt_lookup_num_tokens"), (beams, "num_beams")] {
        let error = drafted.generate(&prompts(), &config).unwrap_err();
        let named = matches!(&error, Error::Option { option: found, .. } if found == option);
        assert!(named, "{error}");
    }
}
