//! `gpt2 forward`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::support::{Place, fixture, model};

/// Name, element type, shape and bytes of a tensor.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

const INPUTS: [&str; 4] = ["input_ids", "attention_mask", "position_ids", "labels"];

/// The tensors of a file whose names begin with a prefix, without it.
fn read(path: &Path, prefix: &str) -> BTreeMap<String, Stored> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let named = file.iter().filter_map(|(name, view)| {
        let stored = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        Some((name.strip_prefix(prefix)?.to_string(), stored))
    });
    named.collect()
}

fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Stored)>) {
    let view =
        |(dtype, shape, data): &'a Stored| TensorView::new(*dtype, shape.clone(), data).unwrap();
    let views = tensors.into_iter().map(|(name, stored)| (name, view(stored)));
    std::fs::write(path, serialize(views, None).unwrap()).unwrap();
}

fn floats((dtype, _, data): &Stored) -> Vec<f32> {
    assert_eq!(*dtype, Dtype::F32);
    bytemuck::pod_collect_to_vec(data)
}

fn integers(shape: &[usize], values: &[i64]) -> Stored {
    (Dtype::I64, shape.to_vec(), bytemuck::cast_slice(values).to_vec())
}

/// Largest distance of two tensors of one shape.
fn distance(found: &Stored, expected: &Stored) -> f32 {
    assert_eq!(found.1, expected.1);
    let pairs = floats(found).into_iter().zip(floats(expected));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn largest(tensor: &Stored) -> f32 {
    floats(tensor).into_iter().map(f32::abs).fold(0.0, f32::max)
}

/// Writes the inputs among some tensors to `in`.
fn write_inputs(place: &Place, tensors: &BTreeMap<String, Stored>) {
    let inputs = INPUTS.iter().filter_map(|&name| Some((name, tensors.get(name)?)));
    write(&place.path("in"), inputs);
}

#[test]
fn logits_loss_hidden_states_and_attentions_are_those_of_the_reference() {
    let place = Place::new();
    for (name, file) in [
        ("bbpe", "bbpe"),
        ("bbpe-h5", "bbpe"),
        ("bbpe-f16", "bbpe-f16"),
        ("variants/untied", "variants-untied"),
        ("variants/no_scale_inverse", "variants-no_scale_inverse"),
    ] {
        let expected = fixture(&format!("expected/forward/{file}.safetensors"));
        let expected = read(expected.as_ref(), "plain.");
        write_inputs(&place, &expected);
        let args = ["forward", &model(name), "--input", "in", "--output", "out"];
        let switches = ["--hidden-states", "--attentions", "--json"];
        let ran = place.ok(&[&args[..], &switches].concat());
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
        let found = read(&place.path("out"), "");
        let tolerance = 5e-5 * largest(&expected["logits"]).max(1.0);
        let outputs = expected.iter().filter(|(name, _)| !INPUTS.contains(&name.as_str()));
        for (key, expected) in outputs.filter(|(name, _)| !name.ends_with("_f64")) {
            let error = distance(&found[key], expected);
            assert!(error <= tolerance, "{name}, {key}: {error}");
        }
        assert!(found.contains_key("loss"), "{name}: no loss");
        assert!(found["loss"].1.is_empty(), "the loss has no axes");
    }
}

#[test]
fn masks_and_positions_of_padded_batches_count() {
    let place = Place::new();
    let expected = fixture("expected/forward/bbpe.safetensors");
    let expected = read(expected.as_ref(), "padded.");
    assert!(expected.contains_key("attention_mask") && expected.contains_key("position_ids"));
    write_inputs(&place, &expected);
    place.ok(&["forward", &model("bbpe"), "--input", "in", "--output", "out"]);
    let found = read(&place.path("out"), "");
    let mask: Vec<i64> = bytemuck::pod_collect_to_vec(&expected["attention_mask"].2);
    let (a, b) = (floats(&found["logits"]), floats(&expected["logits"]));
    let vocab = a.len() / mask.len();
    for (at, _) in mask.iter().enumerate().filter(|(_, flag)| **flag != 0) {
        for (a, b) in a[at * vocab..][..vocab].iter().zip(&b[at * vocab..][..vocab]) {
            assert!((a - b).abs() < 1e-4, "position {at}: {a} is not {b}");
        }
    }
    assert!(distance(&found["loss"], &expected["loss"]) < 1e-5);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["logits", "loss"]);
}

#[test]
fn every_gradient_is_that_of_the_reference_under_its_name() {
    let place = Place::new();
    let reference = fixture("expected/grads.safetensors");
    for (key, name) in [("bbpe.", "bbpe"), ("untied.", "variants/untied")] {
        let expected = read(reference.as_ref(), key);
        write_inputs(&place, &expected);
        let args = ["forward", &model(name), "--input", "in", "--output", "out", "--gradients"];
        place.ok(&args);
        let found = read(&place.path("out"), "");
        let is_gradient = |name: &&String| name.starts_with("grad.");
        let names: Vec<&String> = expected.keys().filter(is_gradient).collect();
        assert_eq!(found.keys().filter(is_gradient).collect::<Vec<_>>(), names);
        for name in names {
            let error = distance(&found[name], &expected[name]);
            assert!(error <= 5e-5 * largest(&expected[name]), "{name}: {error}");
        }
    }
}

#[test]
fn whole_numbers_of_any_type_are_taken() {
    let place = Place::new();
    let logits = |ids: &Stored| {
        write(&place.path("in"), [("input_ids", ids)]);
        place.ok(&["forward", &model("bbpe"), "--input", "in", "--output", "out"]);
        floats(&read(&place.path("out"), "")["logits"])
    };
    let expected = logits(&integers(&[1, 3], &[1, 2, 3]));
    let narrow = (Dtype::I32, vec![1, 3], bytemuck::cast_slice(&[1i32, 2, 3]).to_vec());
    assert_eq!(logits(&narrow), expected);
    assert_eq!(logits(&(Dtype::U8, vec![1, 3], vec![1, 2, 3])), expected);
}

#[test]
fn bad_tensors_are_named() {
    let place = Place::new();
    let ids = || integers(&[2, 2], &[1, 2, 3, 4]);
    let with = |name, tensor| vec![("input_ids", ids()), (name, tensor)];
    let only = |shape: &[usize], values: &[i64]| vec![("input_ids", integers(shape, values))];
    let real = || (Dtype::F32, vec![2, 2], vec![0; 16]);
    for (tensors, part) in [
        (vec![("labels", ids())], "there is no `input_ids`"),
        (vec![("input_ids", real())], "`input_ids` is F32, expected I64"),
        (only(&[4], &[1, 2, 3, 4]), "`input_ids` has shape [4], expected [batch, seq]"),
        (only(&[0, 4], &[]), "`input_ids` has shape [0, 4], expected at least one"),
        (only(&[4, 0], &[]), "`input_ids` has shape [4, 0], expected at least one"),
        (only(&[1, 1], &[384]), "`input_ids` is token id 384, expected less than"),
        (only(&[1, 1], &[-1]), "`input_ids` holds -1"),
        (only(&[1, 1], &[i64::MAX]), "`input_ids` holds 9223372036854775807"),
        (only(&[1, 5000], &[1; 5000]), "`input_ids` is 5000 tokens"),
        (with("attention_mask", integers(&[1, 2], &[1, 1])), "`attention_mask` has shape [1, 2]"),
        (with("attention_mask", real()), "`attention_mask` is F32"),
        (with("position_ids", integers(&[2, 2], &[0, 1, 0, 99])), "`position_ids` holds 99"),
        (with("position_ids", integers(&[2, 2], &[0, 1, 0, -1])), "`position_ids` holds -1"),
        (with("labels", integers(&[2, 1], &[1, 1])), "`labels` has shape [2, 1]"),
        (with("labels", integers(&[2, 2], &[1, 384, 1, 1])), "label 384"),
        (with("labels", integers(&[2, 2], &[1, -1, 1, 1])), "label -1"),
        (with("labels", integers(&[2, 2], &[-100; 4])), "no token to predict"),
        (with("token_type_ids", ids()), "there is `token_type_ids`, expected only"),
    ] {
        write(&place.path("in"), tensors.iter().map(|(name, tensor)| (*name, tensor)));
        let args = ["forward", &model("bbpe"), "--input", "in", "--output", "out"];
        place.refused(&args, &["in: ", part]);
    }
}

#[test]
fn bad_files_are_named_and_nothing_is_written() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let ids = integers(&[1, 3], &[1, 2, 3]);
    write(&place.path("good"), [("input_ids", &ids)]);
    let good = std::fs::read(place.path("good")).unwrap();
    place.write("empty", "");
    place.write("noise", [0xff; 100]);
    place.write("cut", &good[..good.len() - 3]);
    place.write("huge", [(1u64 << 62).to_le_bytes().as_slice(), b"{}"].concat());
    for name in ["empty", "noise", "cut", "huge", "nowhere", "."] {
        let args = ["forward", &folder, "--input", name, "--output", "out"];
        place.refused(&args, &[&format!("{name}: ")]);
    }
    std::fs::create_dir(place.path("folder")).unwrap();
    for (output, part) in [
        ("folder", "`output` is folder, a folder, expected a file"),
        ("no/out", "`output` is no/out, but there is no folder no"),
        ("good", "`output` is good, expected another place than good, which is read"),
    ] {
        place.refused(&["forward", &folder, "--input", "good", "--output", output], &[part]);
    }
    let gradients = ["forward", &folder, "--input", "good", "--output", "out", "--gradients"];
    place.refused(&gradients, &["good: gradients need `labels`"]);
    assert_eq!(std::fs::read(place.path("good")).unwrap(), good);
}
