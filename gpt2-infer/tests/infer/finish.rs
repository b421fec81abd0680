//! Where sequences end.

use gpt2_infer::{Error, FinishReason, GenerationConfig, generate};

use crate::support::{POSITIONS, VOCAB, greedy, ids, model};

fn one(prompt: &[u32], config: &GenerationConfig) -> gpt2_infer::Sequence {
    generate(&model(), &[prompt.to_vec()], config).unwrap().remove(0).remove(0)
}

fn refused(prompt: &[u32], config: &GenerationConfig) -> Error {
    generate(&model(), &[vec![3], prompt.to_vec()], config).unwrap_err()
}

#[test]
fn a_sequence_ends_with_any_of_the_end_of_text_tokens() {
    let free = one(&[5, 6], &greedy(9));
    let end = free.ids[5];
    let config = GenerationConfig { eos_token_id: vec![VOCAB as u32 - 1, end], ..greedy(9) };
    let sequence = one(&[5, 6], &config);
    let first = free.ids[2..].iter().position(|id| config.eos_token_id.contains(id)).unwrap();
    assert_eq!(sequence.finish_reason, FinishReason::Eos);
    assert_eq!(sequence.ids, free.ids[..2 + first + 1]);
    assert_eq!(sequence.score, None);
}

#[test]
fn an_end_of_text_token_in_the_prompt_ends_nothing() {
    let config = GenerationConfig { eos_token_id: vec![5], ..greedy(3) };
    assert!(one(&[5, 5], &config).ids.len() > 2);
}

#[test]
fn a_minimum_length_rules_out_the_end_of_text() {
    let free = one(&[5, 6], &greedy(9));
    let config = GenerationConfig { eos_token_id: free.continuation().to_vec(), ..greedy(9) };
    assert_eq!(one(&[5, 6], &config).ids.len(), 3);
    let until_eight = GenerationConfig { min_length: 8, ..config.clone() };
    assert!(one(&[5, 6], &until_eight).ids.len() > 8);
    let five_more = GenerationConfig { min_new_tokens: Some(5), ..config.clone() };
    assert!(one(&[5, 6], &five_more).continuation().len() > 5);
    // As in `transformers`, the number of new tokens overrides the length.
    let both = GenerationConfig { min_new_tokens: Some(0), ..until_eight };
    assert_eq!(one(&[5, 6], &both).ids.len(), 3);
}

#[test]
fn max_length_counts_the_prompt_and_max_new_tokens_overrides_it() {
    let config = GenerationConfig { max_length: Some(7), ..GenerationConfig::default() };
    let sequence = one(&[5, 6, 7], &config);
    assert_eq!((sequence.ids.len(), sequence.finish_reason), (7, FinishReason::Length));
    let both = GenerationConfig { max_new_tokens: Some(6), ..config };
    assert_eq!(one(&[5, 6, 7], &both).continuation().len(), 6);
}

#[test]
fn without_lengths_twenty_tokens_are_added_within_the_context() {
    assert_eq!(one(&[5, 6], &GenerationConfig::default()).ids.len(), 22);
    let nearly_full = vec![4; POSITIONS - 3];
    assert_eq!(one(&nearly_full, &GenerationConfig::default()).ids.len(), POSITIONS);
    let full = vec![4; POSITIONS];
    let error = refused(&full, &GenerationConfig::default());
    assert!(matches!(error, Error::Prompt { index: 1, .. }), "{error}");
}

#[test]
fn the_last_token_need_not_fit_the_context() {
    let prompt = vec![4; POSITIONS - 3];
    assert_eq!(one(&prompt, &greedy(4)).ids.len(), POSITIONS + 1);
    assert_eq!(one(&[4; POSITIONS], &greedy(1)).ids.len(), POSITIONS + 1);
    let error = refused(&prompt, &greedy(5)).to_string();
    assert!(error.starts_with("`max_new_tokens` is 5, expected at most 4"), "{error}");
    let beyond = GenerationConfig { max_length: Some(POSITIONS + 2), ..Default::default() };
    let error = refused(&prompt, &beyond).to_string();
    assert!(error.starts_with("`max_length` is 34, expected at most 33"), "{error}");
}

#[test]
fn a_prompt_that_fills_max_length_is_refused_with_both_lengths() {
    let config = GenerationConfig { max_length: Some(3), ..GenerationConfig::default() };
    let error = refused(&[1, 2, 3], &config).to_string();
    assert_eq!(error, "`max_length` is 3, expected more than the 3 tokens of prompt 1");
}

#[test]
fn a_prompt_that_no_model_could_read_is_refused() {
    let long = refused(&[4; POSITIONS + 1], &greedy(1)).to_string();
    assert_eq!(long, "prompt 1 has 33 tokens, expected at most n_positions = 32");
    let unknown = refused(&[4, VOCAB as u32], &greedy(1)).to_string();
    assert_eq!(unknown, "prompt 1 has token id 101, expected ids less than vocab_size = 101");
    let empty = refused(&[], &greedy(1)).to_string();
    assert!(empty.starts_with("prompt 1 has no tokens"), "{empty}");
}

#[test]
fn an_empty_prompt_becomes_the_begin_of_text_token() {
    let config = GenerationConfig { bos_token_id: Some(9), ..greedy(4) };
    let sequence = one(&[], &config);
    assert_eq!(sequence.ids, ids(&model(), &[vec![9]], &greedy(4))[0]);
    assert_eq!((sequence.ids[0], sequence.prompt_length), (9, 1));
}

#[test]
fn a_minimum_that_cannot_be_reached_is_refused() {
    for (config, field) in [
        (GenerationConfig { min_new_tokens: Some(4), ..greedy(3) }, "min_new_tokens"),
        (GenerationConfig { min_length: 9, ..greedy(3) }, "min_length"),
        (GenerationConfig { min_length: 30, ..GenerationConfig::default() }, "min_length"),
    ] {
        let error = refused(&[1, 2], &config).to_string();
        assert!(error.starts_with(&format!("`{field}` is")), "{error}");
    }
}

#[test]
fn options_that_exclude_every_token_are_an_error() {
    let config = GenerationConfig {
        eos_token_id: (0..VOCAB as u32).collect(),
        min_new_tokens: Some(1),
        ..greedy(2)
    };
    let error = refused(&[1], &config).to_string();
    assert!(error.ends_with("the options exclude all of them"), "{error}");
}

#[test]
fn weights_that_give_no_scores_are_an_error() {
    let config = crate::support::model_config();
    let broken =
        gpt2_core::Gpt2::from_values(&config, &gpt2_core::device::test_device(), |_, shape| {
            Ok(vec![f32::NAN; shape.iter().product()])
        });
    let error = generate(&broken.unwrap(), &[vec![1]], &greedy(2)).unwrap_err().to_string();
    assert!(error.ends_with("the model's scores are not finite"), "{error}");
}
