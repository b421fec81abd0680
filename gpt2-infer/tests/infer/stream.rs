//! Tokens as they are made.

use std::ops::ControlFlow;

use gpt2_infer::{FinishReason, GenerationConfig, generate, generate_with};

use crate::support::{greedy, model, prompts, sampled};

#[test]
fn the_tokens_of_the_stream_are_the_continuations() {
    let model = model();
    let config = GenerationConfig {
        num_return_sequences: 2,
        eos_token_id: (0..20).collect(),
        ..sampled(9, 4)
    };
    let mut streamed = vec![vec![Vec::new(); 2]; prompts().len()];
    let mut reasons = vec![vec![None; 2]; prompts().len()];
    let sequences = generate_with(&model, &prompts(), &config, |token| {
        assert_eq!(reasons[token.prompt][token.sequence], None);
        streamed[token.prompt][token.sequence].push(token.id);
        reasons[token.prompt][token.sequence] = token.finish_reason;
        ControlFlow::Continue(())
    });
    let sequences = sequences.unwrap();
    assert_eq!(sequences, generate(&model, &prompts(), &config).unwrap());
    for (prompt, sequences) in sequences.iter().enumerate() {
        for (number, sequence) in sequences.iter().enumerate() {
            assert_eq!(streamed[prompt][number], sequence.continuation());
            assert_eq!(reasons[prompt][number], Some(sequence.finish_reason));
        }
    }
}

#[test]
fn a_caller_can_stop_in_the_middle() {
    let model = model();
    let mut left = 6;
    let sequences = generate_with(&model, &prompts(), &greedy(9), |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let whole = generate(&model, &prompts(), &greedy(9)).unwrap();
    let lengths: Vec<usize> = sequences
        .unwrap()
        .iter()
        .zip(&whole)
        .map(|(cut, whole)| {
            assert_eq!(cut[0].finish_reason, FinishReason::Cancelled);
            assert!(whole[0].ids.starts_with(&cut[0].ids));
            cut[0].continuation().len()
        })
        .collect();
    assert_eq!(lengths, [2, 2, 1, 1]);
}
