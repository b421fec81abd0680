//! Low-rank weights: they start as nothing, count everywhere, and merge; adapters are audited.

use std::fs;
use std::path::Path;

use burn::module::Module;
use gpt2_core::folder::write_file;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::{StoredDType, names};
use gpt2_core::{Error, Gpt2, Gpt2Batch, KvCache, LoraConfig, ModelFolder, device};
use serde_json::{Value, json};

use crate::common::{assert_close, batch, config, devices, ids, model};

fn lora(targets: &[&str]) -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 5.0,
        target_modules: targets.iter().map(ToString::to_string).collect(),
        ..LoraConfig::default()
    }
}

const ALL: [&str; 3] = ["c_attn", "c_proj", "c_fc"];

/// A model whose low-rank weights change what it computes.
fn changed(base: Gpt2, config: &LoraConfig) -> Gpt2 {
    let model = base.with_lora(config, 3).unwrap();
    let mut values: Vec<Vec<f32>> =
        model.parameters().iter().map(|p| p.to_vec().unwrap()).collect();
    for (parameter, values) in model.parameters().iter().zip(&mut values) {
        if parameter.name.ends_with(".lora_B.weight") {
            for (at, value) in values.iter_mut().enumerate() {
                *value = ((at * 37 % 101) as f32 - 50.0) * 0.004;
            }
        }
    }
    let mut values = values.into_iter();
    model.with_values(|_, _| Ok(values.next().unwrap())).unwrap()
}

#[test]
fn fresh_low_rank_weights_change_nothing_until_b_does() {
    for device in devices() {
        let text = batch(&[ids(9, 3), ids(9, 8)], &device);
        let base = model(&device);
        let fresh = base.clone().with_lora(&lora(&ALL), 1).unwrap();
        assert_eq!(fresh.forward(&text).to_data(), base.forward(&text).to_data());
        let moved = changed(base.clone(), &lora(&ALL)).forward(&text);
        let distance = (moved - base.forward(&text)).abs().max().into_scalar::<f32>();
        assert!(distance > 1e-2, "{distance}");
    }
}

#[test]
fn a_merged_model_is_an_ordinary_one_that_computes_the_same() {
    for device in devices() {
        let text = batch(&[ids(9, 3), ids(9, 8)], &device);
        for targets in [&ALL[..], &["attn.c_proj"], &["h.1.mlp.c_fc", "c_attn"]] {
            let model = changed(model(&device), &lora(targets));
            let merged = model.clone().train().merge_lora();
            assert!(!merged.device().is_autodiff() && merged.lora().is_none());
            let found: Vec<_> =
                merged.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
            assert_eq!(found, names::parameters(&config()));
            assert_close(&merged.forward(&text), &model.forward(&text));
        }
    }
}

#[test]
fn decoding_with_low_rank_weights_equals_a_full_pass() {
    for device in devices() {
        let model = changed(model(&device), &lora(&ALL));
        let text = ids(12, 5);
        let full = model.hidden(&batch(std::slice::from_ref(&text), &device));
        let mut cache = KvCache::new(model.config(), 1, 12, &device).unwrap();
        for (at, &id) in text.iter().enumerate() {
            let step = model.hidden_cached(&batch(&[vec![id]], &device), &mut cache);
            assert_close(&step, &full.clone().slice([0..1, at..at + 1, 0..24]));
        }
    }
}

#[test]
fn low_rank_weights_stand_behind_the_bias_of_their_module() {
    let config = lora(&["c_attn", "mlp.c_proj"]);
    let model = model(&device::test_device()).with_lora(&config, 1).unwrap();
    let all: Vec<_> = model.parameters().into_iter().map(|p| p.name).collect();
    let bias = all.iter().position(|name| name == "h.1.attn.c_attn.bias").unwrap();
    assert_eq!(all[bias + 1], "h.1.attn.c_attn.lora_A.weight");
    assert_eq!(all[bias + 2], "h.1.attn.c_attn.lora_B.weight");
    let found: Vec<_> = model
        .parameters()
        .into_iter()
        .filter(|p| names::is_lora(&p.name))
        .map(|p| (p.name, <[usize; 2]>::try_from(p.shape).unwrap()))
        .collect();
    assert_eq!(found, config.parameters(model.config()).unwrap());
    assert_eq!(found[3], ("h.0.mlp.c_proj.lora_B.weight".to_string(), [24, 3]));
}

#[test]
fn initial_values_are_those_of_kaiming_and_one_seed_gives_one_result() {
    let fresh = |seed| {
        let model = model(&device::test_device()).with_lora(&lora(&ALL), seed).unwrap();
        let values = |end: &str| -> Vec<f32> {
            let of = model.parameters().into_iter().filter(|p| p.name.ends_with(end));
            of.flat_map(|p| p.to_vec().unwrap()).collect()
        };
        (values("c_attn.lora_A.weight"), values("lora_B.weight"))
    };
    let (down, up) = fresh(1);
    let bound = 1.0 / 24f32.sqrt();
    assert!(down.iter().all(|value| value.abs() <= bound));
    assert!(
        down.iter().any(|value| *value > 0.8 * bound) && down.iter().any(|v| *v < -0.8 * bound)
    );
    assert!(up.iter().all(|&value| value == 0.0));
    assert_eq!(down, fresh(1).0);
    assert_ne!(down, fresh(2).0);
}

#[test]
fn dropout_of_low_rank_weights_is_on_while_training_only() {
    let device = device::test_device();
    let config = LoraConfig { lora_dropout: 0.5, ..lora(&ALL) };
    let model = changed(model(&device), &config).with_dropout(0.0).unwrap();
    let text = batch(&[ids(9, 3)], &device);
    let training = |seed| {
        let input = batch(&[ids(9, 3)], &device.clone().autodiff());
        let input = Gpt2Batch { dropout_seed: Some(seed), ..input };
        model.clone().train().hidden(&input).inner()
    };
    assert_eq!(training(1).to_data(), training(1).to_data());
    for other in [training(2), model.hidden(&text)] {
        assert!((training(1) - other).abs().max().into_scalar::<f32>() > 1e-3);
    }
}

#[test]
fn values_are_replaced_by_name_or_not_at_all() {
    let model = model(&device::test_device()).with_lora(&lora(&ALL), 1).unwrap();
    let other = changed(model.clone().merge_lora(), &lora(&ALL));
    let stored: std::collections::HashMap<_, _> =
        other.parameters().into_iter().map(|p| (p.name.clone(), p.to_vec().unwrap())).collect();
    for start in [model.clone(), model.clone().train()] {
        let restored = start.clone().with_values(|name, _| Ok(stored[name].clone())).unwrap();
        assert_eq!(restored.device().is_autodiff(), start.device().is_autodiff());
        for (parameter, before) in restored.parameters().iter().zip(start.parameters()) {
            assert_eq!(parameter.id, before.id);
            assert_eq!(parameter.to_vec().unwrap(), stored[&parameter.name], "{}", parameter.name);
        }
    }
    let error = model.clone().with_values(|_, _| Ok(vec![0.0])).unwrap_err().to_string();
    assert!(error.contains("1 values for wte.weight"), "{error}");
    let refuse = |_: &str, _: &[usize]| Err(Error::field("here", 1, 2));
    assert!(model.with_values(refuse).unwrap_err().to_string().contains("`here`"));
}

#[test]
fn a_second_lora_is_refused() {
    let model = model(&device::test_device()).with_lora(&lora(&ALL), 1).unwrap();
    let error = model.with_lora(&lora(&ALL), 1).unwrap_err().to_string();
    assert!(error.contains("one with LoRA"), "{error}");
}

#[test]
fn a_saved_model_is_merged_and_its_adapter_gives_the_same_on_the_base() {
    let home = tempfile::tempdir().unwrap();
    let device = device::test_device();
    let config = LoraConfig { use_rslora: true, lora_dropout: 0.25, ..lora(&["c_attn", "c_fc"]) };
    let model = changed(model(&device), &config);
    let text = batch(&[ids(9, 3)], &device);
    let saved = home.path().join("merged");
    let parts = ModelToSave {
        model: &model,
        tokenizer: None,
        generation_config: None,
        card: None,
        dtype: StoredDType::F32,
    };
    parts.save(&saved).unwrap();
    let merged = ModelFolder::open(&saved).unwrap().model(&device).unwrap();
    assert_close(&merged.forward(&text), &model.forward(&text));
    let adapter = home.path().join("adapter");
    // The second time it replaces the first.
    for _ in 0..2 {
        model.save_adapter(&adapter, Some("base")).unwrap();
    }
    let again = crate::common::model(&device).load_adapter(&adapter).unwrap();
    assert_eq!(again.lora(), Some(&config));
    assert_eq!(again.forward(&text).to_data(), model.forward(&text).to_data());
    assert!(again.merge_lora().save_adapter(home.path().join("none"), None).is_err());
}

/// An adapter folder for c_attn, to be spoiled.
fn adapter(folder: &Path) -> Value {
    let _ = fs::remove_dir_all(folder);
    let model = changed(model(&device::test_device()), &lora(&["c_attn"]));
    model.save_adapter(folder, None).unwrap();
    serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
}

fn refusal(folder: &Path) -> String {
    model(&device::test_device()).load_adapter(folder).unwrap_err().to_string()
}

#[test]
fn every_bad_field_of_an_adapter_is_named_with_its_file() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("adapter");
    let good = adapter(&folder);
    for (field, value) in [
        ("peft_type", json!("IA3")),
        ("peft_type", Value::Null),
        ("r", json!(0)),
        ("r", json!("three")),
        ("r", json!(1_000_000_000_000u64)),
        ("lora_alpha", json!(-1)),
        ("lora_dropout", json!(1.5)),
        ("bias", json!("all")),
        ("bias", json!("lora_only")),
        ("use_dora", json!(true)),
        ("use_rslora", json!("yes")),
        ("modules_to_save", json!(["wte"])),
        ("rank_pattern", json!({ "c_attn": 4 })),
        ("alpha_pattern", json!({ "c_attn": 4 })),
        ("layers_to_transform", json!([1])),
        ("layer_replication", json!([[0, 1]])),
        ("init_lora_weights", json!("pissa")),
        ("target_modules", json!("all-linear")),
        ("target_modules", json!([])),
        ("target_modules", json!(["q_proj"])),
        ("target_modules", json!([1])),
        ("an_option_of_tomorrow", json!(0.5)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        write_file(folder.join("adapter_config.json"), bad.to_string().as_bytes()).unwrap();
        let message = refusal(&folder);
        let named =
            message.contains("adapter_config.json") && message.contains(&format!("`{field}`"));
        assert!(named, "{field}: {message}");
    }
}

#[test]
fn every_bad_tensor_of_an_adapter_is_named_with_its_file() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("adapter");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = adapter(&folder);
        change(&mut config);
        write_file(folder.join("adapter_config.json"), config.to_string().as_bytes()).unwrap();
        refusal(&folder)
    };
    for (message, part) in [
        (with(&|config| config["r"] = json!(4)), "has shape [3, 24], expected [4, 24]"),
        (
            with(&|config| config["target_modules"] = json!(["c_attn", "c_fc"])),
            "c_fc.lora_A.weight is missing",
        ),
        (
            with(&|config| config["target_modules"] = json!(["h.1.attn.c_attn"])),
            "lora_A.weight is unknown",
        ),
    ] {
        assert!(
            message.contains("adapter_model.safetensors") && message.contains(part),
            "{message}"
        );
        assert!(message.contains("base_model.model.transformer.h.0."), "{message}");
    }
    adapter(&folder);
    let path = folder.join("adapter_model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(refusal(&folder).contains("lora_B.weight holds 1 values that are NaN"));
    fs::write(&path, b"nonsense").unwrap();
    assert!(refusal(&folder).contains("malformed safetensors"));
    fs::remove_file(&path).unwrap();
    assert!(refusal(&folder).contains("adapter_model.safetensors, adapter_model.bin"));
    fs::remove_file(folder.join("adapter_config.json")).unwrap();
    assert!(refusal(&folder).contains("there is no adapter_config.json"));
}
