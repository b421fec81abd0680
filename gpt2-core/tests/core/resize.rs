//! Models with another number of tokens.

use gpt2_core::pretrained::{LoadOptions, ModelToSave};
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder, Quantization};

use crate::common::{batch, config, devices, ids, model};

/// Values of every parameter by name.
fn values(model: &Gpt2) -> Vec<(String, Vec<f32>)> {
    let each = |p: &gpt2_core::model::NamedParameter| (p.name.clone(), p.to_vec().unwrap());
    model.parameters().iter().map(each).collect()
}

#[test]
fn only_rows_of_tokens_change() {
    for device in devices() {
        for tied in [true, false] {
            let config = Gpt2Config { tie_word_embeddings: tied, ..config() };
            let old = Gpt2::init(&config, 7, &device).unwrap();
            for size in [50, 61, 64] {
                let new = old.resize_token_embeddings(size).unwrap();
                assert_eq!(new.config().vocab_size, size);
                for ((name, old), (same, new)) in values(&old).into_iter().zip(values(&new)) {
                    assert_eq!(name, same);
                    let kept = old.len().min(new.len());
                    assert_eq!(old[..kept], new[..kept], "{name}");
                    let is_table = ["wte.weight", "lm_head.weight"].contains(&name.as_str());
                    assert!(new.len() == if is_table { size * 24 } else { old.len() }, "{name}");
                    for row in new[kept..].chunks(24) {
                        let mean = |at: usize| {
                            old.iter().skip(at).step_by(24).map(|v| f64::from(*v)).sum::<f64>()
                                / 61.0
                        };
                        assert!((0..24).all(|at| (f64::from(row[at]) - mean(at)).abs() < 1e-7));
                    }
                }
            }
        }
    }
}

#[test]
fn known_tokens_keep_their_logits() {
    let device = devices().remove(0);
    let (old, rows) = (model(&device), [ids(12, 3)]);
    let new = old.resize_token_embeddings(70).unwrap();
    let of_old = old.forward(&batch(&rows, &device));
    let of_new = new.forward(&batch(&rows, &device)).slice([0..1, 0..12, 0..61]);
    crate::common::assert_close(&of_old, &of_new);
    assert!(old.resize_token_embeddings(0).is_err());
}

#[test]
fn a_folder_is_resized_while_it_is_loaded() {
    let device = devices().remove(0);
    let old = model(&device);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    let files = ModelToSave {
        model: &old,
        tokenizer: None,
        generation_config: None,
        card: None,
        dtype: StoredDType::F32,
    };
    files.save(&place).unwrap();
    let load = |options| ModelFolder::open(&place).unwrap().model_with(&device, options).unwrap();
    let resized = LoadOptions { vocab_size: Some(80), ..LoadOptions::default() };
    let wanted = old.resize_token_embeddings(80).unwrap();
    assert_eq!(values(&load(resized)), values(&wanted));
    let quantized = load(LoadOptions { quantize: Some(Quantization::Int8), ..resized });
    assert_eq!(quantized.quantization(), Some(Quantization::Int8));
    assert_eq!(values(&quantized), values(&wanted.quantize(Quantization::Int8).unwrap()));
}
