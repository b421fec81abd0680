//! The most likely next tokens.

use gpt2_infer::{Error, GenerationConfig, generate, next_tokens};

use crate::support::{POSITIONS, VOCAB, model, sampled};

#[test]
fn all_candidates_have_a_probability_of_one_in_sum() {
    let list = next_tokens(&model(), &[4, 5, 6], VOCAB, None).unwrap();
    assert_eq!(list.len(), VOCAB);
    let sum: f64 = list.iter().map(|candidate| candidate.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert!(list.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
}

#[test]
fn fewer_candidates_are_the_first_of_more() {
    let model = model();
    let all = next_tokens(&model, &[4, 5, 6], VOCAB, None).unwrap();
    assert_eq!(next_tokens(&model, &[4, 5, 6], 7, None).unwrap(), all[..7]);
    assert_eq!(next_tokens(&model, &[4, 5, 6], 10 * VOCAB, None).unwrap(), all);
}

#[test]
fn processors_leave_out_what_they_exclude() {
    let config = GenerationConfig { top_k: 4, ..sampled(1, 0) };
    let list = next_tokens(&model(), &[4, 5, 6], 20, Some(&config)).unwrap();
    assert_eq!(list.len(), 4);
    let sum: f64 = list.iter().map(|candidate| candidate.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    // Greedy search has no use for top-k.
    let greedy = GenerationConfig { do_sample: false, ..config };
    let list = next_tokens(&model(), &[4, 5, 6], 20, Some(&greedy)).unwrap();
    assert_eq!(list, next_tokens(&model(), &[4, 5, 6], 20, None).unwrap());
}

#[test]
fn an_empty_prompt_is_the_begin_of_text() {
    let model = model();
    let expected = next_tokens(&model, &[1], 3, None).unwrap();
    assert_eq!(next_tokens(&model, &[], 3, None).unwrap(), expected);
    let config = GenerationConfig::default();
    let error = next_tokens(&model, &[], 3, Some(&config)).unwrap_err();
    assert!(matches!(error, Error::Prompt { .. }), "{error}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let model = model();
    let message =
        |prompt: &[u32], top| next_tokens(&model, prompt, top, None).unwrap_err().to_string();
    assert!(message(&[4; POSITIONS + 1], 1).starts_with("prompt 0 has 33 tokens"));
    assert!(message(&[VOCAB as u32], 1).starts_with("prompt 0 has token id 101"));
    assert!(message(&[4], 0).starts_with("`top` is 0"));
}

#[test]
fn beams_are_processed_as_beam_search_does() {
    let prompt: Vec<u32> = (0..30).collect();
    let config = GenerationConfig {
        num_beams: VOCAB,
        num_return_sequences: VOCAB,
        repetition_penalty: 1.7,
        max_new_tokens: Some(1),
        ..GenerationConfig::default()
    };
    let beams = generate(&model(), std::slice::from_ref(&prompt), &config).unwrap().remove(0);
    let total: f64 = beams.iter().map(|beam| beam.score.unwrap().exp()).sum();
    for next in next_tokens(&model(), &prompt, VOCAB, Some(&config)).unwrap() {
        let beam = beams.iter().find(|beam| beam.continuation() == [next.id]).unwrap();
        let probability = beam.score.unwrap().exp() / total;
        assert!((next.probability - probability).abs() < 1e-6, "{next:?} {probability}");
    }
}
