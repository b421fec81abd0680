use half::{bf16, f16};

use super::*;
use crate::weights::{StoredDType, TensorToWrite, TensorValues, write_safetensors, write_weights};

fn to_write<'a>(list: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<TensorToWrite<'a>> {
    list.iter()
        .cloned()
        .map(|(name, shape, values)| TensorToWrite {
            name,
            shape,
            values: TensorValues::Float(Box::new(move || Ok(values.clone()))),
        })
        .collect()
}

fn small_model<'a>() -> Vec<TensorToWrite<'a>> {
    let list: Vec<_> = names::parameters(&small())
        .into_iter()
        .map(|(name, shape)| (name.clone(), shape.clone(), values(&name, &shape)))
        .collect();
    to_write(&list)
}

fn one(values: &[f32]) -> Vec<TensorToWrite<'static>> {
    to_write(&[("wte.weight".to_string(), vec![values.len()], values.to_vec())])
}

/// Everything after the header.
fn payload(file: &[u8]) -> &[u8] {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    assert_eq!(length % 8, 0);
    &file[8 + length..]
}

#[test]
fn what_is_written_is_read_back() {
    let folder = folder_with(&[]);
    let files = write_weights(folder.path(), &small_model(), StoredDType::F32, None).unwrap();
    assert_eq!(files, [folder.path().join("model.safetensors")]);
    assert_is_model(folder.path());
}

#[test]
fn reading_and_writing_f32_keeps_every_byte() {
    let mut tensors = model();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let before = safetensors_file(&tensors);
    let folder = folder_with(&[("model.safetensors", &before)]);
    let config = small();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let mut reader = checkpoint.audit(&config).unwrap();
    let list: Vec<_> = names::parameters(&config)
        .into_iter()
        .map(|(name, shape)| (name.clone(), shape, reader.read(&name).unwrap()))
        .collect();
    let path = folder.path().join("again.safetensors");
    write_safetensors(&path, &to_write(&list), StoredDType::F32).unwrap();
    let after = std::fs::read(path).unwrap();
    assert_eq!(payload(&after), &before[before.len() - payload(&after).len()..]);
}

#[test]
fn the_header_is_that_of_transformers() {
    let folder = folder_with(&[]);
    let path = folder.path().join("x.safetensors");
    write_safetensors(&path, &one(&[1.0, 2.0]), StoredDType::F32).unwrap();
    let file = std::fs::read(path).unwrap();
    let expected = r#"{"__metadata__":{"format":"pt"},"transformer.wte.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert_eq!(std::str::from_utf8(&file[8..8 + expected.len()]).unwrap(), expected);
}

#[test]
fn half_precision_rounds_to_nearest_even() {
    // Half-way between two neighbours: 1 + 2^-11 and 1 + 3 * 2^-11 in f16, 2^-8 in bf16.
    let (step16, step_b) = (2f32.powi(-11), 2f32.powi(-8));
    let folder = folder_with(&[]);
    let path = folder.path().join("x.safetensors");
    let values = [1.0 + step16, 1.0 + 3.0 * step16, -65504.0, f32::from_bits(1)];
    write_safetensors(&path, &one(&values), StoredDType::F16).unwrap();
    let expected = [1.0, 1.0 + 4.0 * step16, -65504.0, 0.0];
    let bytes: Vec<u8> =
        expected.iter().flat_map(|v| f16::from_f32_const(*v).to_le_bytes()).collect();
    assert_eq!(payload(&std::fs::read(&path).unwrap()), bytes);

    let values = [1.0 + step_b, 1.0 + 3.0 * step_b];
    write_safetensors(&path, &one(&values), StoredDType::BF16).unwrap();
    let expected = [1.0, 1.0 + 4.0 * step_b];
    let bytes: Vec<u8> = expected.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    assert_eq!(payload(&std::fs::read(&path).unwrap()), bytes);
}

#[test]
fn a_value_beyond_the_stored_type_is_an_error_that_names_the_tensor() {
    let folder = folder_with(&[]);
    let path = folder.path().join("x.safetensors");
    for (value, dtype) in [(70_000.0, StoredDType::F16), (f32::MAX, StoredDType::BF16)] {
        let text = message(write_safetensors(&path, &one(&[1.0, value]), dtype));
        assert!(text.contains("wte.weight") && text.contains(dtype.name()), "{text}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "a failed file left something behind");
    write_safetensors(&path, &one(&[f32::INFINITY]), StoredDType::F16).unwrap();
}

#[test]
fn values_and_shape_have_to_agree() {
    let folder = folder_with(&[]);
    let tensors = to_write(&[("wte.weight".to_string(), vec![3], vec![0.0; 2])]);
    let text = message(write_weights(folder.path(), &tensors, StoredDType::F32, None));
    assert!(text.contains("`wte.weight` with 2 values, expected 3"), "{text}");
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let folder = folder_with(&[]);
    let one = ("wte.weight".to_string(), vec![1], vec![0.0]);
    for most in [None, Some(4)] {
        let tensors = to_write(&[one.clone(), one.clone()]);
        let text = message(write_weights(folder.path(), &tensors, StoredDType::F32, most));
        assert!(text.contains("wte.weight"), "{text}");
    }
}

#[test]
fn shards_stay_below_their_size_and_read_back() {
    for (dtype, most) in [(StoredDType::F32, 600), (StoredDType::BF16, 600), (StoredDType::F32, 1)]
    {
        let folder = folder_with(&[]);
        let tensors = small_model();
        let files = write_weights(folder.path(), &tensors, dtype, Some(most)).unwrap();
        assert!(files.len() > 2);
        for file in &files[..files.len() - 1] {
            let size = payload(&std::fs::read(file).unwrap()).len() as u64;
            assert!(size <= most || Checkpoint::open_file(file).unwrap().entries().len() == 1);
        }
        assert_eq!(load(folder.path(), &small()).unwrap().len(), tensors.len());
        if dtype == StoredDType::F32 {
            assert_is_model(folder.path());
        }
    }
}

#[test]
fn the_index_is_that_of_transformers() {
    let folder = folder_with(&[]);
    let tensors = to_write(&[
        ("wte.weight".to_string(), vec![2], vec![0.0; 2]),
        ("ln_f.bias".to_string(), vec![1], vec![0.0]),
        ("lm_head.weight".to_string(), vec![2], vec![0.0; 2]),
    ]);
    write_weights(folder.path(), &tensors, StoredDType::F32, Some(12)).unwrap();
    let text = std::fs::read_to_string(folder.path().join("model.safetensors.index.json")).unwrap();
    let expected = r#"{
  "metadata": {
    "total_parameters": 5,
    "total_size": 20
  },
  "weight_map": {
    "lm_head.weight": "model-00002-of-00002.safetensors",
    "transformer.ln_f.bias": "model-00001-of-00002.safetensors",
    "transformer.wte.weight": "model-00001-of-00002.safetensors"
  }
}
"#;
    assert_eq!(text, expected);
}
