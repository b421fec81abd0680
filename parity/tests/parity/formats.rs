//! Every file format holds the same weights, and what is written is what was read.

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::folder::write_folder;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::{StoredDType, TensorToWrite, write_weights};
use gpt2_core::{Gpt2, Gpt2Batch, ModelFolder};
use serde_json::{Map, Value};

use crate::models::{devices, host, load};
use crate::root::roots;

/// Files of a tokenizer that are saved as they were read.
const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// The bits of every parameter, by name.
fn bits(model: &Gpt2) -> Vec<(String, Vec<u32>)> {
    let one = |parameter: gpt2_core::model::NamedParameter| {
        let values = parameter.to_vec().expect("a device that works");
        (parameter.name, values.into_iter().map(f32::to_bits).collect())
    };
    model.parameters().into_iter().map(one).collect()
}

#[test]
fn every_format_gives_the_same_bits() {
    let (_, device) = devices().remove(0);
    for root in roots() {
        let expected = bits(&load(&root.model("bbpe"), &device));
        for name in root.folders_like_bbpe() {
            for (found, expected) in
                bits(&load(&root.model(&name), &device)).into_iter().zip(&expected)
            {
                assert_eq!(&found, expected, "{} {name}: {}", root.name, expected.0);
            }
        }
    }
}

#[test]
fn a_saved_model_is_byte_for_byte_the_file_of_transformers() {
    let files = [
        ("bbpe", StoredDType::F32),
        ("bbpe-trained", StoredDType::F32),
        ("bbpe-f16", StoredDType::F16),
        ("bbpe-bf16", StoredDType::BF16),
        ("variants/untied", StoredDType::F32),
        ("variants/n_inner", StoredDType::F32),
    ];
    let place = tempfile::tempdir().expect("a temporary folder");
    for root in roots() {
        for (name, dtype) in files {
            for (backend, device) in devices() {
                let model = load(&root.model(name), &device);
                let saved = place.path().join("saved");
                save(&model, &saved, dtype);
                let read = |folder: &Path| {
                    std::fs::read(folder.join("model.safetensors")).expect("a weight file")
                };
                let same = read(&saved) == read(&root.model(name));
                assert!(same, "{} {name} {backend}: other bytes", root.name);
                assert_eq!(bits(&load(&saved, &device)), bits(&model), "{} {name}", root.name);
            }
        }
    }
}

#[test]
fn saved_shards_are_byte_for_byte_those_of_transformers() {
    // The size that the own fixtures were saved with.
    let (root, most) = (&roots()[0], 26_000);
    let place = tempfile::tempdir().expect("a temporary folder");
    let saved = place.path().join("saved");
    let (_, device) = devices().remove(0);
    save_in_shards(&load(&root.model("bbpe"), &device), &saved, most);
    let expected = root.model("bbpe-sharded");
    let mut compared = 0;
    for entry in std::fs::read_dir(&expected).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        if name.to_string_lossy().starts_with("model") {
            let read = |folder: &Path| std::fs::read(folder.join(&name)).expect("a file");
            assert!(read(&saved) == read(&expected), "{}: other bytes", name.display());
            compared += 1;
        }
    }
    assert!(compared >= 3, "{compared}");
}

fn save(model: &Gpt2, folder: &Path, dtype: StoredDType) {
    let to_save =
        ModelToSave { model, tokenizer: None, generation_config: None, card: None, dtype };
    to_save.save(folder).expect("a model that can be saved");
}

fn save_in_shards(model: &Gpt2, folder: &Path, max_shard_size: u64) {
    let parameters = model.parameters();
    let tensors: Vec<TensorToWrite<'_>> = parameters.iter().map(TensorToWrite::from).collect();
    write_folder(folder, |temporary| {
        write_weights(temporary, &tensors, StoredDType::F32, Some(max_shard_size)).map(|_| ())
    })
    .expect("a model that can be saved");
}

/// Logits of one text that is as long as the context.
fn logits(model: &Gpt2, device: &Device) -> Vec<u32> {
    let config = model.config();
    let text = (0..config.n_positions).map(|at| (at * 7 % config.vocab_size) as u32).collect();
    let batch = Gpt2Batch::new(&[text], config, device).expect("good ids");
    host(model.forward(&batch)).into_iter().map(f32::to_bits).collect()
}

fn object(file: &Path) -> Map<String, Value> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[test]
fn a_whole_folder_survives_loading_and_saving() {
    let place = tempfile::tempdir().expect("a temporary folder");
    for (root, name) in roots().iter().flat_map(|root| [(root, "bbpe"), (root, "bbpe-trained")]) {
        let source = ModelFolder::open(root.model(name)).expect("a good folder");
        let tokenizer = source.tokenizer().expect("a good tokenizer");
        let generation = source.generation_config().expect("good defaults").expect("defaults");
        for (backend, device) in devices() {
            let context = format!("{} {name} {backend}", root.name);
            let model = source.model(&device).expect("a good model");
            let to_save = ModelToSave {
                model: &model,
                tokenizer: Some(&tokenizer),
                generation_config: Some(&generation),
                card: Some("# A card\n"),
                dtype: StoredDType::F32,
            };
            let path = place.path().join("whole");
            to_save.save(&path).expect("a folder");
            let saved = ModelFolder::open(&path).expect("what was saved");
            let again = saved.model(&device).expect("the model that was saved");
            assert_eq!(logits(&again, &device), logits(&model, &device), "{context}");
            assert_eq!(saved.config(), source.config(), "{context}");
            let mut config = object(&source.path().join("config.json"));
            // Added for programs that know the context under its older name.
            config.insert("n_ctx".to_string(), source.config().n_positions.into());
            assert_eq!(object(&path.join("config.json")), config, "{context}");
            assert_eq!(saved.generation_config().expect("one"), Some(generation.clone()));
            for file in [&TOKENIZER_FILES[..], &["model.safetensors"]].concat() {
                let read = |folder: &Path| std::fs::read(folder.join(file)).expect("a file");
                assert!(read(&path) == read(source.path()), "{context}: {file} has other bytes");
            }
            let card = std::fs::read_to_string(path.join("README.md")).expect("a card");
            assert_eq!(card, "# A card\n");
            std::fs::remove_dir_all(&path).expect("a folder that was written here");
        }
    }
}
