//! Features, the loss of a text, and the pipeline that takes texts for them.

use gpt2_core::ModelFolder;
use gpt2_infer::{
    FeatureOptions, Features, Pipeline, Pooling, Window, features, loss, sliding_loss,
};

use crate::compare::{assert_close, assert_near, everywhere};
use crate::json::{ids, items, number, text};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::tensors::Arrays;
use crate::tolerance::{HIDDEN, LOSS};

const POOLS: [(Pooling, &str); 3] =
    [(Pooling::None, "last_hidden_state"), (Pooling::Mean, "mean"), (Pooling::Last, "last")];

fn check(context: &str, found: &[Features], expected: &Arrays, key: &str) {
    for (number, found) in found.iter().enumerate() {
        let expected = expected.floats(&format!("{number}.{key}"));
        assert_close(context, &found.rows.concat(), &expected, HIDDEN, everywhere);
    }
}

#[test]
fn features_of_texts_equal_transformers_alone_and_in_a_batch() {
    for root in roots() {
        let reference = root.json("features.json");
        let arrays = Arrays::open(root.expected("features.safetensors"));
        let folder = ModelFolder::open(root.model(text(&reference, "model"))).expect("a folder");
        let rows = items(&reference["texts"]);
        let texts: Vec<&str> = rows.iter().map(|row| text(row, "text")).collect();
        for (backend, device) in devices() {
            let pipeline = Pipeline::from_folder(&folder, &device).expect("a whole folder");
            for (pooling, key) in POOLS {
                let options = FeatureOptions { pooling, ..FeatureOptions::default() };
                let found = pipeline.features_batch(&texts, &options).expect("good texts");
                assert_eq!(found.len(), rows.len());
                for (found, row) in found.iter().zip(rows) {
                    assert_eq!(found.ids, ids(&row["input_ids"]));
                }
                let context = format!("{} features {backend} {pooling:?}", root.name);
                check(&context, &found, &arrays, key);
                let alone = |text: &&str| pipeline.features(text, &options).expect("a good text");
                let alone: Vec<Features> = texts.iter().map(alone).collect();
                check(&format!("{context} alone"), &alone, &arrays, key);
            }
        }
    }
}

#[test]
fn features_of_every_layer_equal_transformers() {
    for root in roots() {
        for (backend, device) in devices() {
            let model = load(&root.model("bbpe"), &device);
            let arrays = Arrays::open(root.expected("forward/bbpe.safetensors"));
            let prompts = arrays.ids("plain.input_ids");
            for layer in 0..=model.config().n_layer {
                let options = FeatureOptions { layer: layer as isize, ..FeatureOptions::default() };
                let found = features(&model, &prompts, &options).expect("good prompts");
                let rows: Vec<f32> = found.iter().flat_map(|found| found.rows.concat()).collect();
                let expected = arrays.floats(&format!("plain.hidden_states.{layer}"));
                let context = format!("{} features {backend}", root.name);
                assert_close(&context, &rows, &expected, HIDDEN, everywhere);
            }
        }
    }
}

/// Context, model on a device, ids and what is expected of them: the texts of `evaluation.json`.
fn for_every_evaluation(check: impl Fn(&str, &gpt2_core::Gpt2, &[u32], &serde_json::Value)) {
    let each = |root: &Root| {
        let expected = root.json("evaluation.json");
        let name = text(&expected, "model");
        for (backend, device) in devices() {
            let context = format!("{} {name} {backend}", root.name);
            let model = load(&root.model(name), &device);
            check(&context, &model, &ids(&expected["input_ids"]), &expected);
        }
    };
    roots().iter().for_each(each);
}

#[test]
fn the_loss_of_a_text_equals_transformers() {
    for_every_evaluation(|context, model, ids, expected| {
        let expected = &expected["blocks"];
        let losses = items(&expected["loss_per_block"]);
        let blocks = ids.chunks_exact(number(expected, "block_size") as usize);
        assert_eq!(blocks.len(), losses.len());
        for (block, expected) in blocks.zip(losses) {
            let found = loss(model, block).expect("a good text");
            assert_eq!(found.tokens, block.len() - 1);
            assert_near(context, found.loss, expected.as_f64().expect("a loss"), LOSS);
        }
    });
}

#[test]
fn the_loss_under_a_sliding_window_equals_the_perplexity_guide() {
    for_every_evaluation(|context, model, ids, expected| {
        let Some(sliding) = expected.get("sliding") else { return };
        let [length, stride] = ["max_length", "stride"].map(|key| number(sliding, key) as usize);
        let found = sliding_loss(model, ids, Window { length, stride }).expect("a good text");
        assert_near(context, found.loss, number(sliding, "nll_token_weighted"), LOSS);
    });
}
