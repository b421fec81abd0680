//! Hidden states as features.

use gpt2_core::{Gpt2Batch, OutputOptions};
use gpt2_infer::{Error, FeatureOptions, Pooling, features};

use crate::support::{POSITIONS, VOCAB, model, prompts};

fn options(layer: isize, pooling: Pooling) -> FeatureOptions {
    FeatureOptions { layer, pooling }
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
}

#[test]
fn every_layer_is_the_hidden_state_of_the_model() {
    let (model, prompts) = (model(), [vec![5, 9, 2, 40, 77]]);
    let batch = Gpt2Batch::new(&prompts, model.config(), &model.device()).unwrap();
    let keep = OutputOptions { hidden_states: true, ..OutputOptions::default() };
    let states = model.forward_with(&batch, keep).hidden_states;
    assert_eq!(states.len(), 3);
    for (layer, state) in (0..).zip(states) {
        let expected: Vec<f32> = state.try_into_vec_as().unwrap();
        for layer in [layer, layer - 3] {
            let found = features(&model, &prompts, &options(layer, Pooling::None));
            let [found] = <[_; 1]>::try_from(found.unwrap()).unwrap();
            assert_eq!((found.rows.len(), &found.ids), (5, &prompts[0]));
            assert_near(&found.rows.concat(), &expected);
        }
    }
}

#[test]
fn a_prompt_of_a_batch_has_the_features_it_has_alone() {
    let (model, prompts) = (model(), prompts());
    for pooling in [Pooling::None, Pooling::Mean, Pooling::Last] {
        for layer in [1, -1] {
            let options = options(layer, pooling);
            let together = features(&model, &prompts, &options).unwrap();
            for (found, prompt) in together.iter().zip(&prompts) {
                let alone = features(&model, std::slice::from_ref(prompt), &options).unwrap();
                assert_eq!(&found.ids, prompt);
                assert_near(&found.rows.concat(), &alone[0].rows.concat());
            }
        }
    }
}

#[test]
fn more_prompts_than_one_batch_holds_keep_their_order() {
    let model = model();
    let prompts: Vec<Vec<u32>> = (0..150).map(|i| vec![i % 90 + 1; 1 + i as usize % 31]).collect();
    let found = features(&model, &prompts, &options(0, Pooling::None)).unwrap();
    for (found, prompt) in found.iter().zip(&prompts) {
        assert_eq!((&found.ids, found.rows.len()), (prompt, prompt.len()));
        let alone = features(&model, &[vec![prompt[0]]], &options(0, Pooling::None)).unwrap();
        assert_near(&found.rows[0], &alone[0].rows[0]);
    }
}

#[test]
fn pooled_features_are_the_mean_and_the_last_of_the_tokens() {
    let (model, prompts) = (model(), prompts());
    let rows = |pooling| features(&model, &prompts, &options(-1, pooling)).unwrap();
    let (all, means, last) = (rows(Pooling::None), rows(Pooling::Mean), rows(Pooling::Last));
    for ((all, mean), last) in all.iter().zip(means).zip(last) {
        assert_eq!((mean.rows.len(), last.rows.len()), (1, 1));
        assert_near(&last.rows[0], all.rows.last().unwrap());
        let at = |i: usize| all.rows.iter().map(|row| row[i]).sum::<f32>() / all.rows.len() as f32;
        let expected: Vec<f32> = (0..all.rows[0].len()).map(at).collect();
        assert_near(&mean.rows[0], &expected);
    }
}

#[test]
fn an_empty_prompt_is_the_begin_of_text_and_no_prompt_is_nothing() {
    let model = model();
    let found = features(&model, &[vec![]], &FeatureOptions::default()).unwrap();
    assert_eq!((&found[0].ids, found[0].rows.len()), (&vec![1], 1));
    assert!(features(&model, &[], &FeatureOptions::default()).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_is_refused() {
    let model = model();
    let error = |prompt: &[u32], layer| {
        features(&model, &[vec![4], prompt.to_vec()], &options(layer, Pooling::None)).unwrap_err()
    };
    assert!(matches!(error(&[VOCAB as u32], -1), Error::Prompt { index: 1, .. }));
    let long = error(&[4; POSITIONS + 1], -1).to_string();
    assert_eq!(long, "prompt 1 has 33 tokens, expected at most n_positions = 32");
    for layer in [3, -4, isize::MIN, isize::MAX] {
        let message = error(&[4], layer).to_string();
        assert!(message.starts_with(&format!("`layer` is {layer}, expected -3 to 2")), "{message}");
    }
}
