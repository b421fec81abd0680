//! Beam search against a search that follows everything.

use gpt2_infer::logits::PrefixAllowedTokens;
use gpt2_infer::{
    EarlyStopping, Error, FinishReason, GenerationConfig, Generator, generate, next_tokens,
};

use crate::support::{VOCAB, greedy, ids, model, prompts, sampled};

/// Log-probabilities of all tokens after a text.
fn log_probs(text: &[u32]) -> Vec<f64> {
    let mut list = vec![0.0; VOCAB];
    for next in next_tokens(&model(), text, VOCAB, None).unwrap() {
        list[next.id as usize] = next.probability.ln();
    }
    list
}

fn beams(num_beams: usize, new: usize) -> GenerationConfig {
    GenerationConfig { num_beams, num_return_sequences: num_beams, ..greedy(new) }
}

#[test]
fn as_many_beams_as_tokens_find_the_best_of_all_texts() {
    let prompt = vec![5, 9, 2];
    let mut all = Vec::new();
    for (first, score) in log_probs(&prompt).into_iter().enumerate() {
        let text = [&prompt[..], &[first as u32]].concat();
        for (second, next) in log_probs(&text).into_iter().enumerate() {
            all.push((score + next, [&text[..], &[second as u32]].concat()));
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let config = GenerationConfig { num_return_sequences: 5, ..beams(VOCAB, 2) };
    let found = generate(&model(), &[prompt], &config).unwrap().remove(0);
    assert_eq!(found.len(), 5);
    for (found, (score, text)) in found.iter().zip(&all) {
        assert_eq!(&found.ids, text);
        // The mean over both tokens.
        assert!((found.score.unwrap() - score / 2.0).abs() < 1e-4, "{found:?}, {score}");
    }
}

#[test]
fn a_prompt_gives_in_a_batch_what_it_gives_alone() {
    let ends: Vec<u32> = (0..25).collect();
    for early_stopping in [EarlyStopping::False, EarlyStopping::True, EarlyStopping::Never] {
        let config =
            GenerationConfig { early_stopping, eos_token_id: ends.clone(), ..beams(4, 12) };
        let sampled = GenerationConfig { do_sample: true, seed: Some(4), ..config.clone() };
        for config in [config, sampled] {
            let together = generate(&model(), &prompts(), &config).unwrap();
            for (prompt, together) in prompts().iter().zip(&together) {
                let alone = generate(&model(), std::slice::from_ref(prompt), &config).unwrap();
                let text = |s: &gpt2_infer::Sequence| (s.ids.clone(), s.finish_reason);
                let texts = |all: &[gpt2_infer::Sequence]| all.iter().map(text).collect::<Vec<_>>();
                assert_eq!(texts(&alone[0]), texts(together));
            }
        }
    }
}

#[test]
fn ids_are_the_same_with_and_without_cache() {
    let config = beams(3, 10);
    let without = GenerationConfig { use_cache: false, ..config.clone() };
    assert_eq!(ids(&model(), &prompts(), &config), ids(&model(), &prompts(), &without));
}

#[test]
fn a_long_text_gains_with_the_length_penalty() {
    let ends: Vec<u32> = (0..50).collect();
    let length = |length_penalty| {
        let config = GenerationConfig {
            length_penalty,
            num_return_sequences: 1,
            early_stopping: EarlyStopping::Never,
            eos_token_id: ends.clone(),
            ..beams(5, 16)
        };
        generate(&model(), &[vec![5, 9]], &config).unwrap()[0][0].continuation().len()
    };
    assert!(length(-2.0) < length(4.0), "{} {}", length(-2.0), length(4.0));
}

#[test]
fn scores_fall_and_reasons_are_told() {
    let config = GenerationConfig { eos_token_id: (0..40).collect(), ..beams(4, 6) };
    for sequences in generate(&model(), &prompts(), &config).unwrap() {
        assert_eq!(sequences.len(), 4);
        assert!(sequences.windows(2).all(|pair| pair[0].score >= pair[1].score));
        for sequence in sequences {
            let ended = sequence.ids.last().is_some_and(|&id| id < 40);
            let expected = if ended { FinishReason::Eos } else { FinishReason::Length };
            assert_eq!(sequence.finish_reason, expected);
        }
    }
}

#[test]
fn one_seed_draws_one_set_of_beams() {
    let draw = |seed| {
        let config = GenerationConfig { num_beams: 3, ..sampled(8, seed) };
        ids(&model(), &prompts(), &config)
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn where_options_leave_one_text_there_is_one_beam() {
    let config = GenerationConfig {
        suppress_tokens: (0..VOCAB as u32).filter(|&id| id != 7).collect(),
        ..beams(3, 4)
    };
    let found = generate(&model(), &[vec![1]], &config).unwrap();
    let texts: Vec<_> = found[0].iter().map(|sequence| sequence.ids.as_slice()).collect();
    assert_eq!(texts, [[1, 7, 7, 7, 7]]);
}

#[test]
fn what_has_ended_is_kept_where_nothing_else_goes_on() {
    let allowed = |ids: &[u32]| if ids.len() == 1 { vec![2, 7] } else { vec![] };
    let generator = Generator::new(&model());
    let generator = generator.with_prefix_allowed_tokens(PrefixAllowedTokens::new(allowed));
    let config = GenerationConfig { eos_token_id: vec![2], ..beams(2, 4) };
    let found = generator.generate(&[vec![1]], &config).unwrap().remove(0);
    let texts: Vec<_> = found.iter().map(|sequence| sequence.ids.as_slice()).collect();
    assert_eq!(texts, [[1, 2]]);
    let endless = GenerationConfig { eos_token_id: vec![], ..config };
    let error = generator.generate(&[vec![1]], &endless).unwrap_err();
    assert!(matches!(error, Error::NoToken { .. }), "{error}");
}

#[test]
fn more_sequences_than_beams_are_refused() {
    let config = GenerationConfig { num_return_sequences: 3, num_beams: 2, ..greedy(4) };
    let error = generate(&model(), &[vec![1]], &config).unwrap_err();
    let expected = "`num_return_sequences` is 3, expected at most num_beams = 2";
    assert_eq!(error.to_string(), expected);
    let config = GenerationConfig { prompt_lookup_num_tokens: Some(3), ..beams(2, 4) };
    let error = generate(&model(), &[vec![1]], &config).unwrap_err();
    let named =
        matches!(&error, Error::Option { option, .. } if option == "prompt_lookup_num_tokens");
    assert!(named, "{error}");
}
