//! Every file format holds the same weights, and what is written is what was read.

use std::path::Path;

use gpt2_core::Gpt2;
use gpt2_core::folder::write_folder;
use gpt2_core::weights::{StoredDType, TensorToWrite, write_weights};

use crate::models::{devices, load};
use crate::root::roots;

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
                save(&model, &saved, dtype, None);
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
    save(&load(&root.model("bbpe"), &device), &saved, StoredDType::F32, Some(most));
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

fn save(model: &Gpt2, folder: &Path, dtype: StoredDType, max_shard_size: Option<u64>) {
    let parameters = model.parameters();
    let tensors: Vec<TensorToWrite<'_>> = parameters
        .iter()
        .map(|parameter| TensorToWrite {
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            read: Box::new(|| parameter.to_vec()),
        })
        .collect();
    write_folder(folder, |temporary| {
        let config = model.config().to_json().to_string();
        gpt2_core::folder::write_file(temporary.join("config.json"), config.as_bytes())?;
        write_weights(temporary, &tensors, dtype, max_shard_size).map(|_| ())
    })
    .expect("a model that can be saved");
}
