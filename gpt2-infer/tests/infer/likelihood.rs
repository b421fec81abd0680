//! The loss of a text, and scores of continuations.

use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_infer::{
    ContinuationScore, Error, Window, loss, next_tokens, score_continuations, sliding_loss,
};

use crate::support::{POSITIONS, VOCAB, model, model_config};

/// Log-probability of `ids[from..]`, token by token, each by a pass of its own.
fn slow(model: &Gpt2, ids: &[u32], from: usize) -> Vec<f64> {
    (from..ids.len())
        .map(|at| {
            let candidates = next_tokens(model, &ids[..at], VOCAB, None).unwrap();
            candidates.iter().find(|c| c.id == ids[at]).unwrap().probability.ln()
        })
        .collect()
}

fn text(length: usize) -> Vec<u32> {
    (0..length).map(|i| (i * i * 7 % 97 + 2) as u32).collect()
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 2e-6 * expected.abs(), "{found} is not {expected}");
}

#[test]
fn the_loss_is_the_mean_of_what_each_token_costs_after_those_before_it() {
    let model = model();
    for length in [2, 5, POSITIONS] {
        let ids = text(length);
        let found = loss(&model, &ids).unwrap();
        assert_eq!(found.tokens, length - 1);
        let expected = -slow(&model, &ids, 1).iter().sum::<f64>() / (length - 1) as f64;
        assert_near(found.loss, expected);
        assert_near(found.perplexity(), expected.exp());
    }
}

#[test]
fn a_window_that_holds_the_text_gives_its_loss() {
    let (model, ids) = (model(), text(20));
    let expected = loss(&model, &ids).unwrap();
    for window in [Window { length: 20, stride: 3 }, Window { length: 32, stride: 31 }] {
        assert_eq!(sliding_loss(&model, &ids, window).unwrap(), expected);
    }
}

#[test]
fn a_sliding_window_predicts_every_token_once() {
    let (model, ids) = (model(), text(75));
    for (length, stride) in [(8, 1), (8, 3), (8, 7), (32, 16), (2, 1)] {
        let found = sliding_loss(&model, &ids, Window { length, stride }).unwrap();
        assert_eq!(found.tokens, 74);
        let cost = |at: usize| {
            // The first window that holds the token.
            let begin = (at + 1).saturating_sub(length).next_multiple_of(stride);
            slow(&model, &ids[begin..=at], at - begin)[0]
        };
        let expected = -(1..75).map(cost).sum::<f64>() / 74.0;
        assert_near(found.loss, expected);
    }
}

#[test]
fn texts_and_windows_that_cannot_be_measured_are_refused() {
    let model = model();
    let message = |ids: &[u32]| match loss(&model, ids).unwrap_err() {
        error @ Error::Text { .. } => error.to_string(),
        other => panic!("{other}"),
    };
    assert!(message(&[]).starts_with("the text has 0 tokens, expected at least 2"));
    assert!(message(&[4]).starts_with("the text has 1 tokens, expected at least 2"));
    assert!(message(&[4, 101]).starts_with("the text has token id 101, expected ids less than"));
    assert!(message(&text(33)).starts_with("the text has 33 tokens, expected at most n_positions"));
    for (length, stride, part) in [
        (33, 1, "`length` is 33, expected 2 to n_positions = 32"),
        (1, 0, "`length` is 1"),
        (8, 0, "`stride` is 0, expected 1 to 7"),
        (8, 8, "`stride` is 8"),
    ] {
        let error = sliding_loss(&model, &text(40), Window { length, stride }).unwrap_err();
        assert!(error.to_string().starts_with(part), "{error}");
    }
    let short = sliding_loss(&model, &[4], Window { length: 8, stride: 4 });
    assert!(matches!(short, Err(Error::Text { .. })));
}

#[test]
fn a_score_is_what_a_full_pass_says_of_each_token() {
    let (model, prompt) = (model(), [5, 9, 2, 40]);
    let mut continuations = vec![vec![7], vec![60, 61, 62, 63], vec![7, 7], text(29), vec![60]];
    // More than are read side by side.
    continuations.extend((0..40).map(|at| vec![at, at + 1, 7 * at % 50]));
    let found = score_continuations(&model, &prompt, &continuations).unwrap();
    for (found, ids) in found.iter().zip(&continuations) {
        let expected = slow(&model, &[&prompt, ids.as_slice()].concat(), prompt.len());
        assert_eq!(found.token_log_probabilities.len(), ids.len());
        for (&a, &b) in found.token_log_probabilities.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} is not {b}");
        }
        let sum: f64 = expected.iter().sum();
        assert!((found.log_probability() - sum).abs() < 1e-4);
        assert!((found.mean_log_probability() - sum / ids.len() as f64).abs() < 1e-4);
    }
    assert_eq!(score_continuations(&model, &prompt, &[]).unwrap(), []);
}

#[test]
fn all_single_tokens_together_are_certain() {
    let model = model();
    let all: Vec<Vec<u32>> = (0..VOCAB as u32).map(|id| vec![id]).collect();
    let found = score_continuations(&model, &[], &all).unwrap();
    let sum: f64 = found.iter().map(|score| score.log_probability().exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    let after_bos = score_continuations(&model, &[1], &all).unwrap();
    let sums = |scores: &[ContinuationScore]| {
        scores.iter().map(ContinuationScore::log_probability).collect::<Vec<_>>()
    };
    assert_eq!(sums(&found), sums(&after_bos));
}

#[test]
fn prompts_and_continuations_that_cannot_be_scored_are_refused() {
    let model = model();
    let message = |prompt: &[u32], continuation: &[u32]| {
        let both = [vec![4], continuation.to_vec()];
        score_continuations(&model, prompt, &both).unwrap_err().to_string()
    };
    assert!(message(&[4], &[]).starts_with("continuation 1 has no tokens"));
    assert!(message(&[4], &[101]).starts_with("continuation 1 has token id 101"));
    assert!(
        message(&[4], &[4; 33]).starts_with("continuation 1 has 33 tokens, expected at most 32")
    );
    assert!(message(&[101], &[4]).starts_with("prompt 0 has token id 101"));
    assert!(message(&[4; 33], &[4]).starts_with("prompt 0 has 33 tokens"));
    let config = Gpt2Config { bos_token_id: None, ..model_config() };
    let model = Gpt2::init(&config, 1, &model.device()).unwrap();
    let error = score_continuations(&model, &[], &[vec![4]]).unwrap_err();
    assert!(error.to_string().starts_with("prompt 0 has no tokens"), "{error}");
}
