//! The loss of quantized models, on text that the model was trained for.

use gpt2_core::Quantization;
use gpt2_train::data::blocks;
use gpt2_train::{Dataset, evaluate};

use crate::compare::measured;
use crate::json::{ids, number};
use crate::models::{devices, load};
use crate::root::roots;

/// How much larger the loss may be, relative to that of the floats.
const ALLOWED: [(Quantization, f64); 2] = [(Quantization::Int8, 0.005), (Quantization::Int4, 0.04)];

#[test]
fn quantization_costs_little_of_the_loss() {
    for root in roots() {
        let expected = root.json("evaluation.json");
        let by_block = &expected["blocks"];
        let stream = [ids(&expected["input_ids"])];
        let examples = blocks(&stream, None, number(by_block, "block_size") as usize);
        let exact = number(by_block, "loss_f64");
        let name = expected["model"].as_str().expect("a model");
        for (backend, device) in devices() {
            let model = load(&root.model(name), &device);
            let data = Dataset::new("validation", examples.clone(), model.config()).expect("good");
            for (quantization, allowed) in ALLOWED {
                let model = model.clone().quantize(quantization).expect("finite weights");
                let found = evaluate(&model, &data, 4, |_| Ok(())).expect("a device that works");
                let cost = found.loss / exact - 1.0;
                let what = format!("{} {name} {backend} {}", root.name, quantization.name());
                measured(&format!("loss\t{what}\t{:+.4} %", 100.0 * cost));
                assert!(cost.abs() <= allowed, "{what}: {cost}");
                assert!(found.loss != exact, "{what} changes nothing");
            }
        }
    }
}
