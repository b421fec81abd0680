//! Rung three: every gradient.

use burn::tensor::Device;
use gpt2_core::Gpt2;
use gpt2_train::Example;
use gpt2_train::data::ClmBatch;
use gpt2_train::objective::loss_and_gradients;

use crate::compare::{assert_close, everywhere};
use crate::models::{devices, load};
use crate::root::roots;
use crate::tensors::Arrays;
use crate::tolerance::GRADIENT;

/// Published name and gradient of every parameter.
fn gradients(model: Gpt2, examples: &[Example], device: &Device) -> Vec<(String, Vec<f32>)> {
    let model = model.with_dropout(0.0).expect("0 is a probability");
    let rows: Vec<&Example> = examples.iter().collect();
    let batch = ClmBatch::new(&rows, device).expect("something to predict");
    let one = |parameter: gpt2_core::model::NamedParameter| {
        (parameter.published_name(), parameter.to_vec().expect("a device that works"))
    };
    loss_and_gradients(&model, &batch).1.into_iter().map(one).collect()
}

#[test]
fn every_gradient_equals_transformers() {
    for root in roots() {
        let arrays = Arrays::open(root.expected("grads.safetensors"));
        for (key, folder) in [("bbpe", "bbpe"), ("untied", "variants/untied")] {
            let examples: Vec<Example> = arrays
                .ids(&format!("{key}.input_ids"))
                .into_iter()
                .zip(arrays.rows(&format!("{key}.labels")))
                .map(|(input_ids, labels)| Example { input_ids, labels: Some(labels) })
                .collect();
            let prefix = format!("{key}.grad.");
            let expected = arrays.names().iter().filter(|name| name.starts_with(&prefix)).count();
            for (backend, device) in devices() {
                let context = format!("{} {key} {backend}", root.name);
                let found = gradients(load(&root.model(folder), &device), &examples, &device);
                assert_eq!(found.len(), expected, "{context}");
                for (name, values) in found {
                    let expected = arrays.floats(&format!("{prefix}{name}"));
                    assert!(expected.scale() > 0.0, "{context}: {name}");
                    assert_close(&context, &values, &expected, GRADIENT, everywhere);
                }
            }
        }
    }
}
