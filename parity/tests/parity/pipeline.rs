//! Texts in, texts out: what the text-generation pipeline and the cards' own calls give.

use gpt2_core::ModelFolder;
use gpt2_infer::{GenerationConfig, Pipeline};
use serde_json::Value;

use crate::compare::assert_near;
use crate::json::{count, items, text};
use crate::models::devices;
use crate::root::roots;
use crate::tolerance::{LOG_PROBABILITIES, LOSS};

/// Every root with texts, on every device: context, a pipeline, and what is expected.
fn for_every_pipeline(check: impl Fn(&str, Pipeline, &Value)) {
    for root in roots().iter().filter(|root| root.has("pipeline.json")) {
        let expected = root.json("pipeline.json");
        let folder = ModelFolder::open(root.model(text(&expected, "model"))).expect("a folder");
        for (backend, device) in devices() {
            let pipeline = Pipeline::from_folder(&folder, &device).expect("a whole folder");
            check(&format!("{} pipeline {backend}", root.name), pipeline, &expected);
        }
    }
}

fn options(pipeline: &Pipeline, expected: &Value) -> GenerationConfig {
    let given = expected["options"].as_object().expect("options").clone();
    pipeline.generation_config().clone().merged(given).expect("good options")
}

#[test]
fn generated_texts_equal_the_text_generation_pipeline() {
    for_every_pipeline(|context, pipeline, expected| {
        let options = options(&pipeline, expected);
        let cases = items(&expected["cases"]);
        let prompts: Vec<&str> = cases.iter().map(|case| text(case, "prompt")).collect();
        let together = pipeline.generate_batch(&prompts, &options).expect("good prompts");
        let special = pipeline.skip_special_tokens(false);
        for ((case, found), prompt) in cases.iter().zip(together).zip(prompts) {
            let [found] = found.as_slice() else { panic!("{context}: one text each") };
            assert_eq!(found.text, text(case, "full_text"), "{context}");
            assert_eq!(found.continuation(), text(case, "new_text"), "{context}");
            let found = special.generate(prompt, &options).expect("a good prompt");
            let expected = text(case, "new_text_with_special_tokens");
            assert_eq!(found[0].continuation(), expected, "{context}");
        }
    });
}

#[test]
fn next_words_and_losses_equal_the_calls_of_the_cards() {
    for_every_pipeline(|context, pipeline, expected| {
        for case in items(&expected["cases"]) {
            let prompt = text(case, "prompt");
            if let Some(word) = case.get("next_word") {
                let found = pipeline.next_word(prompt).expect("a good prompt");
                let expected = (count(word, "id"), text(word, "text"));
                assert_eq!((found.id as usize, found.text.as_str()), expected, "{context}");
            }
            match case.get("loss").and_then(Value::as_f64) {
                Some(loss) => {
                    let found = pipeline.loss(prompt).expect("a good text");
                    assert_near(context, found.loss, loss, LOSS);
                }
                None => assert!(pipeline.loss(prompt).is_err(), "{context}: {prompt:?}"),
            }
        }
    });
}

#[test]
fn scores_of_continuations_equal_the_log_probabilities_of_a_full_pass() {
    for_every_pipeline(|context, pipeline, expected| {
        let expected = &expected["scores"];
        let rows = items(&expected["continuations"]);
        let texts: Vec<&str> = rows.iter().map(|row| text(row, "text")).collect();
        let found = pipeline.score(text(expected, "prompt"), &texts).expect("good texts");
        assert_eq!(found.len(), rows.len());
        for (found, row) in found.iter().zip(rows) {
            let expected = items(&row["log_probabilities"]);
            assert_eq!(found.token_log_probabilities.len(), expected.len(), "{context}");
            for (&found, expected) in found.token_log_probabilities.iter().zip(expected) {
                assert_near(
                    context,
                    found,
                    expected.as_f64().expect("a number"),
                    LOG_PROBABILITIES,
                );
            }
        }
    });
}
