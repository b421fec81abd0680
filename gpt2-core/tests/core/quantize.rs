//! Quantized models.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, Tolerance};
use gpt2_core::device::is_gpu;
use gpt2_core::pretrained::{LoadOptions, ModelToSave, WeightDType};
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, KvCache, LoraConfig, ModelFolder, Quantization};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{batch, devices, ids, model};

fn quantized(quantization: Quantization, device: &Device) -> Gpt2 {
    model(device).quantize(quantization).unwrap()
}

/// The largest difference, relative to the largest number.
fn distance<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f32 {
    let [a, b] = [a, b].map(|tensor| tensor.to_data().try_to_vec::<f32>().unwrap());
    let largest = b.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

fn save(model: &Gpt2, dtype: StoredDType) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = ModelToSave { model, tokenizer: None, generation_config: None, card: None, dtype };
    files.save(folder.path()).unwrap();
    folder
}

fn load(folder: &TempDir, device: &Device) -> gpt2_core::Result<Gpt2> {
    ModelFolder::open(folder.path())?.model(device)
}

fn values(model: &Gpt2) -> Vec<(String, Vec<f32>)> {
    let parameters = model.parameters().into_iter();
    parameters.map(|p| (p.name.clone(), p.to_vec().unwrap())).collect()
}

#[test]
fn a_quantized_model_computes_nearly_what_the_floats_do() {
    for device in devices() {
        let rows = batch(&[ids(24, 3), ids(24, 40)], &device);
        let exact = model(&device).forward(&rows);
        for (quantization, bound) in [(Quantization::Int8, 0.05), (Quantization::Int4, 0.4)] {
            let found = distance(&quantized(quantization, &device).forward(&rows), &exact);
            assert!(found < bound, "{quantization:?}: {found}");
            assert!(found > 1e-5, "{quantization:?} changes nothing: {found}");
        }
    }
}

#[test]
fn the_floats_of_a_quantized_model_are_near_its_products_of_whole_numbers() {
    for device in devices() {
        let rows = batch(&[ids(20, 5)], &device);
        for quantization in Quantization::ALL {
            let whole = quantized(quantization, &device);
            let floats = whole.clone().dequantize();
            assert_eq!((floats.quantization(), values(&floats)), (None, values(&whole)));
            // Apart by the rounding of activations alone.
            assert!(distance(&whole.forward(&rows), &floats.forward(&rows)) < 0.05);
            assert!(distance(&floats.forward(&rows), &model(&device).forward(&rows)) > 1e-5);
        }
    }
}

#[test]
fn cached_decode_of_a_quantized_model_equals_its_full_pass() {
    for device in devices() {
        for quantization in Quantization::ALL {
            let (model, text) = (quantized(quantization, &device), ids(18, 2));
            let full = model.hidden(&batch(std::slice::from_ref(&text), &device));
            let mut cache = KvCache::new(model.config(), 1, 24, &device).unwrap();
            let mut read = |ids: &[u32]| {
                let batch = Gpt2Batch::right_padded(&[ids.to_vec()], model.config(), &device);
                model.hidden_cached(&batch.unwrap(), &mut cache)
            };
            let mut parts = vec![read(&text[..7])];
            parts.extend(text[7..].iter().map(|&id| read(&[id])));
            // What is rounded to a whole number can go the other way by a last bit.
            Tensor::cat(parts, 1)
                .to_data()
                .assert_approx_eq::<f32>(&full.to_data(), Tolerance::absolute(0.02));
        }
    }
}

#[test]
fn a_saved_model_is_the_same_again() {
    for device in devices() {
        for quantization in Quantization::ALL {
            let model = quantized(quantization, &device);
            let folder = save(&model, StoredDType::F32);
            let again = load(&folder, &device).unwrap();
            assert_eq!(again.quantization(), Some(quantization));
            assert_eq!(values(&again), values(&model));
            let rows = batch(&[ids(9, 1)], &device);
            assert_eq!(again.forward(&rows).to_data(), model.forward(&rows).to_data());
            let bytes = |folder: &TempDir| std::fs::read(folder.path().join("model.safetensors"));
            let twice = save(&again, StoredDType::F32);
            assert_eq!(bytes(&twice).unwrap(), bytes(&folder).unwrap());
            let floats = save(&again.dequantize(), StoredDType::F32);
            assert_eq!(values(&load(&floats, &device).unwrap()), values(&model));
        }
    }
}

#[test]
fn quantizing_while_loading_equals_quantizing_afterwards() {
    let device = devices().remove(0);
    let folder = save(&model(&device), StoredDType::F32);
    for quantization in Quantization::ALL {
        let options = LoadOptions { quantize: Some(quantization), ..LoadOptions::default() };
        let loaded =
            ModelFolder::open(folder.path()).unwrap().model_with(&device, options).unwrap();
        assert_eq!(loaded.quantization(), Some(quantization));
        assert_eq!(values(&loaded), values(&quantized(quantization, &device)));
    }
}

#[test]
fn weights_in_bf16_compute_what_the_rounded_floats_do() {
    for device in devices() {
        let half = model(&device).bf16_weights().unwrap();
        let floats = half.clone().dequantize();
        assert!(half.is_compact() && !floats.is_compact());
        let rows = batch(&[ids(24, 3), ids(24, 40)], &device);
        // So many rows are multiplied in bf16 where a GPU does that.
        let is_rounded = is_gpu(&device) && device.supports_dtype(DType::BF16);
        let allowed = if is_rounded { 0.05 } else { 1e-5 };
        assert!(distance(&half.forward(&rows), &floats.forward(&rows)) < allowed);
        let few = batch(&[ids(9, 3), ids(9, 40)], &device);
        assert!(distance(&half.forward(&few), &floats.forward(&few)) < 1e-5);
        let found = distance(&half.forward(&rows), &model(&device).forward(&rows));
        assert!(found > 1e-5 && found < 0.05, "{found}");

        let folder = save(&model(&device), StoredDType::F32);
        let options = LoadOptions { dtype: WeightDType::BF16, ..LoadOptions::default() };
        let loaded =
            ModelFolder::open(folder.path()).unwrap().model_with(&device, options).unwrap();
        assert_eq!(values(&loaded), values(&half));
        // A file of bf16 holds the same, and is read as f32 unless something else is said.
        let folder = save(&loaded, StoredDType::BF16);
        let tables = |model: &Gpt2| model.wte.weight.val().to_data();
        assert_eq!(tables(&load(&folder, &device).unwrap()), tables(&half));
    }
}

#[test]
fn a_head_of_its_own_is_quantized_too() {
    let device = devices().remove(0);
    let config = Gpt2Config { tie_word_embeddings: false, ..crate::common::config() };
    let model = Gpt2::init(&config, 3, &device).unwrap().quantize(Quantization::Int8).unwrap();
    assert!(model.lm_head.as_ref().unwrap().compact().is_some());
    let again = load(&save(&model, StoredDType::F32), &device).unwrap();
    assert_eq!(values(&again), values(&model));
}

#[test]
fn a_quantized_folder_is_a_third_of_the_size_and_less() {
    let device = devices().remove(0);
    let config = Gpt2Config { n_embd: 128, ..crate::common::config() };
    let model = Gpt2::init(&config, 3, &device).unwrap();
    let size = |model: &Gpt2| {
        save(model, StoredDType::F32).path().join("model.safetensors").metadata().unwrap().len()
    };
    let floats = size(&model);
    let [eight, four] = Quantization::ALL.map(|q| size(&model.clone().quantize(q).unwrap()));
    assert!(eight * 3 < floats, "{eight} of {floats}");
    assert!(four * 5 < floats, "{four} of {floats}");
}

#[test]
fn lora_and_training_do_not_go_with_whole_numbers() {
    let device = devices().remove(0);
    let lora = LoraConfig { r: 2, ..LoraConfig::default() };
    let error = quantized(Quantization::Int8, &device).with_lora(&lora, 1).unwrap_err();
    assert!(error.to_string().contains("quantized"), "{error}");
    let model = model(&device).with_lora(&lora, 1).unwrap();
    let error = model.quantize(Quantization::Int8).unwrap_err().to_string();
    assert!(error.contains("LoRA"), "{error}");
}

#[test]
fn other_values_make_it_a_model_of_floats() {
    let device = devices().remove(0);
    let model = quantized(Quantization::Int4, &device);
    let zeros = model.with_values(|_, shape| Ok(vec![0.0; shape.iter().product()])).unwrap();
    assert_eq!(zeros.quantization(), None);
    let logits = zeros.forward(&batch(&[ids(3, 1)], &device)).to_data();
    assert!(logits.iter::<f32>().all(|logit| logit == 0.0));
}

#[test]
fn leaving_the_training_device_keeps_whole_numbers() {
    let device = devices().remove(0);
    let model = quantized(Quantization::Int8, &device);
    assert!(!model.valid().wte.weight.is_initialized(), "the floats were computed");
    let rows = batch(&[ids(5, 1)], &device);
    let trained = model.clone().train();
    assert!(trained.device().is_autodiff());
    let found = distance(&trained.valid().forward(&rows), &model.forward(&rows));
    assert!(found < 1e-5, "{found}");
}

/// Changes a saved model and tells what loading it says.
fn refusal(quantization: Quantization, change: impl Fn(&mut Vec<u8>, &mut Value)) -> String {
    let device = devices().remove(0);
    let folder = save(&quantized(quantization, &device), StoredDType::F32);
    let [weights, config] =
        ["model.safetensors", "config.json"].map(|name| folder.path().join(name));
    let mut bytes = std::fs::read(&weights).unwrap();
    let mut object = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    change(&mut bytes, &mut object);
    std::fs::write(&weights, bytes).unwrap();
    std::fs::write(&config, object.to_string()).unwrap();
    load(&folder, &device).unwrap_err().to_string()
}

/// Replaces a part of the header by another of the same length.
fn replace(bytes: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|part| part == old.as_bytes()).unwrap();
    bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
}

/// Where the data of a tensor begins.
fn data_of(bytes: &[u8], name: &str) -> usize {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    8 + length + header[name]["data_offsets"][0].as_u64().unwrap() as usize
}

#[test]
fn bad_quantized_folders_are_refused_with_the_tensor_and_the_file() {
    let scale = "transformer.h.1.mlp.c_fc.weight_scale";
    for (quantization, whole) in
        [(Quantization::Int8, "c_fc.weight"), (Quantization::Int4, "c_fc.weight_packed")]
    {
        let whole = format!("transformer.h.1.mlp.{whole}");
        let missing = refusal(quantization, |bytes, _| {
            replace(bytes, scale, "transformer.h.1.mlp.c_fc.weight_scala");
        });
        assert!(missing.contains("model.safetensors"), "{missing}");
        assert!(missing.contains(&format!("{scale} is missing")), "{missing}");
        assert!(missing.contains("c_fc.weight_scala is unknown"), "{missing}");

        let nan = refusal(quantization, |bytes, _| {
            let at = data_of(bytes, scale);
            bytes[at..at + 2].copy_from_slice(&0x7FC0u16.to_le_bytes());
        });
        assert!(nan.contains(&format!("{scale} holds 1 values that are NaN")), "{nan}");

        let shape = refusal(quantization, |_, config| config["n_inner"] = 64.into());
        assert!(shape.contains(&format!("{whole} has shape")), "{shape}");
        assert!(shape.contains(&format!("{scale} has shape [1, 96], expected [1, 64]")), "{shape}");

        let floats = refusal(quantization, |_, config| {
            config.as_object_mut().unwrap().remove("quantization_config");
        });
        assert!(floats.contains("h.0.attn.c_attn.weight_scale is unknown"), "{floats}");
    }
    let other = refusal(Quantization::Int8, |_, config| {
        config["quantization_config"] = Quantization::Int4.to_json();
    });
    assert!(other.contains("h.0.attn.c_attn.weight_packed is missing"), "{other}");
    let floats = refusal(Quantization::Int8, |bytes, _| {
        replace(bytes, r#""dtype":"I8""#, r#""dtype":"U8""#);
    });
    assert!(floats.contains("has element type U8, expected I8"), "{floats}");
}

#[test]
fn configurations_of_other_methods_are_refused_by_name() {
    for (field, value, part) in [
        ("quant_method", "gptq".into(), "`quantization_config.quant_method` is \"gptq\""),
        ("bits", 3.into(), "`quantization_config.bits` is 3, expected 8 or 4"),
        ("group_size", 64.into(), "`quantization_config.group_size` is 64, expected 128"),
        ("sym", false.into(), "`quantization_config.sym` is false, expected true"),
    ] {
        let value: Value = value;
        let message = refusal(Quantization::Int8, |_, config| {
            config["quantization_config"][field] = value.clone();
        });
        assert!(message.contains("config.json") && message.contains(part), "{message}");
    }
}
