//! Random continuations.

use gpt2_infer::{GenerationConfig, generate, next_tokens};

use crate::support::{VOCAB, ids, model, prompts, sampled};

#[test]
fn one_seed_gives_one_text() {
    let model = model();
    let text = |seed| ids(&model, &prompts(), &sampled(10, seed));
    assert_eq!(text(4), text(4));
    assert_ne!(text(4), text(5));
}

#[test]
fn without_a_seed_texts_differ() {
    let model = model();
    let config = GenerationConfig { seed: None, ..sampled(20, 0) };
    assert_ne!(ids(&model, &[vec![3]], &config), ids(&model, &[vec![3]], &config));
}

#[test]
fn the_sequences_of_a_prompt_differ() {
    let config = GenerationConfig { num_return_sequences: 4, ..sampled(12, 8) };
    let sequences = &generate(&model(), &[vec![3, 4]], &config).unwrap()[0];
    assert_eq!(sequences.len(), 4);
    for (at, sequence) in sequences.iter().enumerate() {
        assert!(sequences[..at].iter().all(|other| other.ids != sequence.ids));
    }
}

#[test]
fn the_best_token_alone_is_what_greedy_takes() {
    let model = model();
    let config = GenerationConfig { top_k: 1, ..sampled(10, 3) };
    let greedy = GenerationConfig { do_sample: false, ..config.clone() };
    assert_eq!(ids(&model, &prompts(), &config), ids(&model, &prompts(), &greedy));
}

#[test]
fn first_tokens_follow_the_processed_distribution() {
    const DRAWS: usize = 20_000;
    let model = model();
    let prompt = vec![5, 9, 2];
    let config = GenerationConfig { temperature: 0.7, top_k: 12, top_p: 0.9, ..sampled(1, 6) };
    let expected = next_tokens(&model, &prompt, VOCAB, Some(&config)).unwrap();
    let mut counts = vec![0.0; VOCAB];
    let batch = GenerationConfig { num_return_sequences: 500, ..config };
    for seed in 0..(DRAWS / 500) as u64 {
        let batch = GenerationConfig { seed: Some(seed), ..batch.clone() };
        for sequence in &generate(&model, std::slice::from_ref(&prompt), &batch).unwrap()[0] {
            counts[sequence.continuation()[0] as usize] += 1.0;
        }
    }
    let terms = expected.iter().map(|candidate| {
        let mean = candidate.probability * DRAWS as f64;
        (counts[candidate.id as usize] - mean).powi(2) / mean
    });
    let statistic: f64 = terms.sum();
    let drawn = counts.iter().filter(|count| **count > 0.0).count();
    assert!(drawn <= expected.len() && expected.len() <= 12, "{drawn} of {}", expected.len());
    // 31.3 is exceeded with probability 0.001 at 11 degrees of freedom, the most there can be.
    assert!(statistic < 31.3, "{statistic}");
}
