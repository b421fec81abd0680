//! Loss, perplexity and accuracy of the trained model.

use gpt2_train::data::{blocks, window_examples};
use gpt2_train::{Dataset, Evaluation, Example, evaluate};
use serde_json::Value;

use crate::compare::assert_near;
use crate::json::{ids, number};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::tolerance::LOSS;

/// Evaluates the model of `expected` over examples, on every device.
fn on_every_device(
    root: &Root,
    expected: &Value,
    examples: &[Example],
    mut check: impl FnMut(&str, Evaluation),
) {
    let name = expected["model"].as_str().expect("a model");
    for (backend, device) in devices() {
        let model = load(&root.model(name), &device);
        let data = Dataset::new("validation", examples.to_vec(), model.config()).expect("good");
        let found = evaluate(&model, &data, 4, |_| Ok(())).expect("a device that works");
        check(&format!("{} {name} {backend}", root.name), found);
    }
}

#[test]
fn evaluation_over_blocks_equals_transformers() {
    for root in roots() {
        let expected = root.json("evaluation.json");
        let by_block = &expected["blocks"];
        let stream = [ids(&expected["input_ids"])];
        let examples = blocks(&stream, None, number(by_block, "block_size") as usize);
        assert_eq!(examples.len() as f64, number(by_block, "blocks"));
        on_every_device(root, &expected, &examples, |context, found| {
            assert_eq!(found.tokens as f64, number(by_block, "predicted_tokens"), "{context}");
            assert_near(context, found.loss, number(by_block, "loss"), LOSS);
            assert_near(context, found.loss, number(by_block, "loss_f64"), LOSS);
            let perplexity = (number(by_block, "loss_f64").exp() - found.perplexity).abs();
            assert!(perplexity <= LOSS.allowed(found.perplexity) * found.loss, "{context}");
            // A count divided by a count: nothing is rounded.
            let accuracy = number(by_block, "accuracy");
            assert!((found.accuracy - accuracy).abs() < 1e-12, "{context}: {}", found.accuracy);
        });
    }
}

#[test]
fn evaluation_over_sliding_windows_equals_the_perplexity_guide() {
    for root in roots() {
        let expected = root.json("evaluation.json");
        let Some(sliding) = expected.get("sliding") else { continue };
        let (length, stride) = (number(sliding, "max_length"), number(sliding, "stride"));
        let examples =
            window_examples(&ids(&expected["input_ids"]), length as usize, stride as usize);
        on_every_device(root, &expected, &examples, |context, found| {
            assert_near(context, found.loss, number(sliding, "nll_token_weighted"), LOSS);
        });
    }
}
