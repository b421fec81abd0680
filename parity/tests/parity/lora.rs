//! LoRA: what PEFT computes with its adapters, trains, merges and writes.

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::weights::names;
use gpt2_core::{Gpt2, Gpt2Batch, LoraConfig};
use gpt2_train::data::ClmBatch;
use gpt2_train::objective::loss_and_gradients;
use gpt2_train::record::StepRecord;
use gpt2_train::{Example, Outcome, Recipe};
use serde_json::Value;

use crate::compare::{assert_close, assert_near, everywhere};
use crate::json::text;
use crate::models::{devices, host, load};
use crate::root::{Root, roots};
use crate::tensors::Arrays;
use crate::tolerance::{FINAL_WEIGHT, GRADIENT, LOGITS, LORA_MERGED, LOSS};
use crate::training::{check_curve, options, train};

/// The roots that have such numbers; the own one has.
fn lora_roots() -> impl Iterator<Item = &'static Root> {
    assert!(roots()[0].has("lora/lora.json"));
    roots().iter().filter(|root| root.has("lora/lora.json"))
}

fn arrays(root: &Root) -> Arrays {
    Arrays::open(root.expected("lora/lora.safetensors"))
}

/// Name of every adapter, and bbpe with it.
fn adapted(root: &Root, device: &Device) -> Vec<(String, Gpt2)> {
    let whole = root.json("lora/lora.json");
    let names = whole["adapters"].as_object().expect("adapters by name").keys();
    let base = load(&root.model(text(&whole, "model")), device);
    names
        .map(|name| {
            let folder = root.expected("lora").join(name);
            let model = base.clone().load_adapter(folder).unwrap_or_else(|e| panic!("{e}"));
            (name.clone(), model)
        })
        .collect()
}

#[test]
fn logits_of_an_adapted_model_equal_peft_before_and_after_merging() {
    for root in lora_roots() {
        let arrays = arrays(root);
        let rows = arrays.ids("input_ids");
        for (backend, device) in devices() {
            for (name, model) in adapted(root, &device) {
                let context = format!("{} {name} {backend}", root.name);
                let batch = Gpt2Batch::new(&rows, model.config(), &device).expect("good ids");
                let expected = arrays.floats(&format!("{name}.logits"));
                for model in [model.clone(), model.merge_lora()] {
                    let found = host(model.forward(&batch));
                    assert_close(&context, &found, &expected, LOGITS, everywhere);
                }
            }
        }
    }
}

#[test]
fn gradients_of_low_rank_weights_equal_peft() {
    for root in lora_roots() {
        let arrays = arrays(root);
        let examples: Vec<Example> =
            arrays.ids("input_ids").into_iter().map(Example::new).collect();
        let rows: Vec<&Example> = examples.iter().collect();
        for (backend, device) in devices() {
            for (name, model) in adapted(root, &device) {
                let context = format!("{} {name} {backend}", root.name);
                let model = model.with_dropout(0.0).expect("0 is a probability");
                let batch = ClmBatch::new(&rows, &device).expect("something to predict");
                let (loss, gradients) = loss_and_gradients(&model, &batch);
                let expected = arrays.scalar(&format!("{name}.loss"));
                assert_near(&context, f64::from(host(loss)[0]), expected, LOSS);
                let prefix = format!("{name}.grad.");
                let low_rank = gradients.iter().filter(|one| names::is_lora(&one.name));
                let count = arrays.names().iter().filter(|key| key.starts_with(&prefix)).count();
                assert_eq!(low_rank.clone().count(), count, "{context}");
                for gradient in low_rank {
                    let key = format!("{prefix}{}", gradient.published_name());
                    let found = gradient.to_vec().expect("a device that works");
                    assert_close(&context, &found, &arrays.floats(&key), GRADIENT, everywhere);
                }
            }
        }
    }
}

#[test]
fn a_pickled_adapter_is_the_same_adapter() {
    for root in lora_roots() {
        let (_, device) = devices().remove(0);
        let load = |name: &str| -> Vec<Vec<f32>> {
            let base = load(&root.model("bbpe"), &device);
            let model = base.load_adapter(root.expected("lora").join(name));
            let parameters = model.unwrap_or_else(|e| panic!("{e}")).parameters();
            parameters.iter().map(|one| one.to_vec().expect("a device that works")).collect()
        };
        assert!(load("some") == load("some-bin"), "{}", root.name);
    }
}

/// Compares every matrix with that of the arrays below `prefix`, or with the base's where there is none.
fn check_merged(context: &str, merged: &Gpt2, base: &Gpt2, arrays: &Arrays, prefix: &str) {
    let mut changed = 0;
    for (parameter, before) in merged.parameters().iter().zip(base.parameters()) {
        let key = format!("{prefix}{}", parameter.published_name());
        let found = parameter.to_vec().expect("a device that works");
        if arrays.has(&key) {
            changed += 1;
            assert_close(context, &found, &arrays.floats(&key), LORA_MERGED, everywhere);
        } else {
            let before = before.to_vec().expect("a device that works");
            assert!(found == before, "{context}: {key} is not as it was");
        }
    }
    let expected = arrays.names().iter().filter(|key| key.starts_with(prefix)).count();
    assert_eq!(changed, expected, "{context}");
}

#[test]
fn merged_weights_equal_peft_and_all_others_stay() {
    for root in lora_roots() {
        let arrays = arrays(root);
        for (backend, device) in devices() {
            let base = load(&root.model("bbpe"), &device);
            for (name, model) in adapted(root, &device) {
                let context = format!("{} {name} {backend}", root.name);
                let prefix = format!("{name}.merged.");
                check_merged(&context, &model.merge_lora(), &base, &arrays, &prefix);
            }
        }
    }
}

/// Trains from PEFT's initial values, which are of another random generator than ours.
fn run(root: &Root, arrays: &Arrays, device: &Device) -> (Outcome, Vec<StepRecord>) {
    let whole = root.json("lora/lora.json");
    let folder = root.expected("lora").join(text(&whole, "curve_of"));
    let lora = LoraConfig::from_file(folder.join("adapter_config.json")).expect("a configuration");
    let model = load(&root.model("bbpe"), device).with_lora(&lora, 1).expect("modules of a GPT-2");
    let before = model.parameters();
    let mut before = before.iter();
    let model = model.with_values(|name, _| {
        let parameter = before.next().expect("as many as there are");
        match names::is_lora(name) {
            true => {
                let key = format!("curve.initial.{}", parameter.published_name());
                Ok(arrays.floats(&key).values.iter().map(|&value| value as f32).collect())
            }
            false => parameter.to_vec(),
        }
    });
    let model = model.expect("values of these shapes");
    let examples = arrays.ids("curve.input_ids").into_iter().map(Example::new).collect();
    let options = options(&whole["hyper"]);
    let recipe = Recipe::from(&options);
    train(model, options, recipe, examples)
}

#[test]
fn the_curve_of_low_rank_weights_and_what_is_merged_after_it_equal_peft() {
    for root in lora_roots() {
        let (whole, arrays) = (root.json("lora/lora.json"), arrays(root));
        for (backend, device) in devices() {
            let context = format!("{} lora {backend}", root.name);
            let (outcome, steps) = run(root, &arrays, &device);
            check_curve(&context, &steps, &whole["curve"]);
            for parameter in outcome.model.parameters() {
                if names::is_lora(&parameter.name) {
                    let key = format!("curve.final.{}", parameter.published_name());
                    let found = parameter.to_vec().expect("a device that works");
                    assert_close(&context, &found, &arrays.floats(&key), FINAL_WEIGHT, everywhere);
                }
            }
            let base = load(&root.model("bbpe"), &device);
            let merged = outcome.model.merge_lora();
            check_merged(&context, &merged, &base, &arrays, "curve.merged.");
        }
    }
}

/// Every tensor of a file, by name: shape and bytes.
fn stored(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let one = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        (name.to_string(), view.shape().to_vec(), view.data().to_vec())
    };
    let mut list: Vec<_> = file.iter().map(one).collect();
    list.sort();
    list
}

#[test]
fn an_adapter_is_written_as_peft_writes_it() {
    let home = tempfile::tempdir().expect("a place for files");
    for root in lora_roots() {
        let (_, device) = devices().remove(0);
        for (name, model) in adapted(root, &device) {
            let (source, copy) = (root.expected("lora").join(&name), home.path().join(&name));
            model.save_adapter(&copy, Some("bbpe")).expect("a folder that can be written");
            let weights = "adapter_model.safetensors";
            assert!(stored(&copy.join(weights)) == stored(&source.join(weights)), "{name}");
            let read = |folder: &Path| -> Value {
                let bytes = std::fs::read(folder.join("adapter_config.json")).expect("a file");
                serde_json::from_slice(&bytes).expect("JSON")
            };
            let theirs = read(&source);
            for (key, value) in read(&copy).as_object().expect("an object") {
                assert!(theirs.get(key).is_some(), "{name}: PEFT has no {key}");
                let same = match (value.as_f64(), theirs[key].as_f64()) {
                    (Some(ours), Some(theirs)) => ours == theirs,
                    _ => *value == theirs[key],
                };
                assert!(same, "{name}: {key} is {value}, expected {}", theirs[key]);
            }
        }
    }
}
