use half::{bf16, f16};
use serde_json::{Value, json};

use super::*;

fn refusal(file: &[u8]) -> String {
    let folder = folder_with(&[("model.safetensors", file)]);
    let text = message(Checkpoint::open(folder.path()));
    assert!(text.contains("model.safetensors: malformed safetensors: "), "{text}");
    text
}

fn two_tensors() -> Vec<Stored> {
    vec![Stored::f32("a", &[2], &[1.0, 2.0]), Stored::f32("b", &[2, 1], &[3.0, 4.0])]
}

/// The refusal of two tensors whose header was changed.
fn refusal_after(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut changed = header(&two_tensors());
    change(&mut changed);
    refusal(&file_of(&Value::Object(changed).to_string(), &data(&two_tensors())))
}

#[test]
fn a_model_is_read_exactly() {
    let folder = folder_with(&[("model.safetensors", &safetensors_file(&model()))]);
    assert_is_model(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.format().name(), "safetensors");
    assert_eq!(checkpoint.dtype(), "F32");
    assert_eq!(checkpoint.files(), [folder.path().join("model.safetensors")]);
    assert_eq!(checkpoint.entries().len(), model().len());
}

#[test]
fn half_and_double_precision_become_f32() {
    for dtype in ["F16", "BF16", "F64"] {
        let mut tensors = model();
        for tensor in &mut tensors {
            let values: Vec<f32> =
                tensor.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            tensor.dtype = dtype;
            tensor.bytes = match dtype {
                "F16" => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
                "BF16" => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
                _ => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            };
        }
        let folder = folder_with(&[("model.safetensors", &safetensors_file(&tensors))]);
        assert_eq!(Checkpoint::open(folder.path()).unwrap().dtype(), dtype);
        for (name, found) in load(folder.path(), &small()).unwrap() {
            for (a, b) in found.iter().zip(values(&name, &[found.len()])) {
                let tolerance = if dtype == "BF16" { 0.01 * b.abs() } else { 1e-3 * b.abs() };
                assert!((a - b).abs() <= tolerance, "{dtype} {name}: {a} for {b}");
            }
        }
    }
}

#[test]
fn an_empty_file_is_refused() {
    assert!(refusal(b"").contains("0 bytes"));
}

#[test]
fn a_header_longer_than_the_file_is_refused() {
    assert!(refusal(&[&100u64.to_le_bytes()[..], b"{}"].concat()).contains("100 bytes, but 2"));
}

#[test]
fn a_header_of_absurd_length_is_refused_before_it_is_allocated() {
    assert!(refusal(&[&(1u64 << 63).to_le_bytes()[..], b"{}"].concat()).contains("at most"));
}

#[test]
fn a_header_that_is_no_json_object_is_refused() {
    assert!(refusal(&file_of("hello", b"")).contains("begin with"));
    assert!(refusal(&file_of("{hello", b"")).contains("cannot be used"));
    assert!(refusal(&file_of("{\"a\": 5}", b"")).contains("`a`"));
}

#[test]
fn a_deeply_nested_header_does_not_overflow_the_stack() {
    refusal(&file_of(&format!("{{\"a\":{}", "[".repeat(100_000)), b""));
    refusal(&file_of(&format!("{{\"__metadata__\":{}", "[".repeat(100_000)), b""));
}

#[test]
fn a_tensor_named_twice_is_refused() {
    let one = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let text = refusal(&file_of(&format!("{{{one},{one}}}"), &[0; 4]));
    assert!(text.contains("`a` occurs twice"), "{text}");
}

#[test]
fn overlapping_tensors_are_refused() {
    let text = refusal_after(|header| header["b"]["data_offsets"] = json!([4, 12]));
    assert!(text.contains("`b` overlaps"), "{text}");
}

#[test]
fn a_hole_between_tensors_is_refused() {
    let text = refusal_after(|header| header["b"]["data_offsets"] = json!([9, 17]));
    assert!(text.contains("`b` leaves a hole"), "{text}");
}

#[test]
fn an_end_before_its_start_is_refused() {
    let text = refusal_after(|header| header["b"]["data_offsets"] = json!([8, 0]));
    assert!(text.contains("`b` ends at byte 0"), "{text}");
}

#[test]
fn a_range_of_another_size_than_the_shape_is_refused() {
    let text = refusal_after(|header| header["b"]["shape"] = json!([3]));
    assert!(text.contains("`b` has 8 bytes, expected 12"), "{text}");
}

#[test]
fn a_shape_whose_product_overflows_is_refused() {
    let text = refusal_after(|header| header["b"]["shape"] = json!([1u64 << 33, 1u64 << 33]));
    assert!(text.contains("`b` has shape [8589934592, 8589934592]"), "{text}");
    let text = refusal_after(|header| header["b"]["shape"] = json!([1u64 << 60]));
    assert!(text.contains("`b`"), "{text}");
}

#[test]
fn negative_and_fractional_extents_are_refused() {
    assert!(refusal_after(|header| header["b"]["shape"] = json!([-1])).contains("`b`"));
    assert!(refusal_after(|header| header["b"]["shape"] = json!([0.5])).contains("`b`"));
}

#[test]
fn an_unknown_element_type_is_refused() {
    assert!(refusal_after(|header| header["b"]["dtype"] = json!("F7")).contains("`b`"));
}

#[test]
fn data_cut_short_is_refused() {
    let file = safetensors_file(&two_tensors());
    let text = refusal(&file[..file.len() - 1]);
    assert!(text.contains("take 16 bytes, but 15 follow"), "{text}");
}

#[test]
fn bytes_after_the_last_tensor_are_refused() {
    let file = [safetensors_file(&two_tensors()), vec![0; 3]].concat();
    assert!(refusal(&file).contains("take 16 bytes, but 19 follow"));
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = folder_with(&[]);
    std::fs::create_dir(folder.path().join("model.safetensors")).unwrap();
    assert!(message(Checkpoint::open(folder.path())).contains("not a regular file"));
}

#[test]
fn a_folder_without_weights_says_what_it_looked_for() {
    let folder = folder_with(&[("config.json", b"{}")]);
    let text = message(Checkpoint::open(folder.path()));
    assert!(text.contains("model.safetensors") && text.contains("tf_model.h5"), "{text}");
}

#[test]
fn safetensors_are_preferred_to_pickles() {
    let folder = folder_with(&[
        ("pytorch_model.bin", b"rubbish"),
        ("model.safetensors", &safetensors_file(&model())),
    ]);
    assert_is_model(folder.path());
}

#[test]
fn a_file_of_unknown_ending_is_refused() {
    let folder = folder_with(&[("weights.gguf", b"")]);
    let path = folder.path().join("weights.gguf");
    assert!(message(Checkpoint::open_file(path)).contains(".safetensors"));
}
