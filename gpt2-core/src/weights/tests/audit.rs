use super::*;
use crate::error::TensorProblem;
use crate::{Error, Gpt2Config};

fn problems(tensors: &[Stored], config: &Gpt2Config) -> Vec<TensorProblem> {
    let folder = folder_with(&[("model.safetensors", &safetensors_file(tensors))]);
    match load(folder.path(), config) {
        Err(Error::Weights { problems, .. }) => problems,
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

fn with(extra: Stored) -> Vec<Stored> {
    let mut tensors = model();
    tensors.push(extra);
    tensors
}

#[test]
fn names_without_the_prefix_are_the_same_names() {
    let mut tensors = model();
    for tensor in &mut tensors {
        tensor.name = tensor.name.strip_prefix(names::PREFIX).unwrap().to_string();
    }
    let folder = folder_with(&[("model.safetensors", &safetensors_file(&tensors))]);
    assert_is_model(folder.path());
}

#[test]
fn a_mixture_of_both_namings_is_refused() {
    let shape = [5, 4];
    let extra = Stored::f32("wte.weight", &shape, &values("other", &shape));
    let name = "wte.weight".to_string();
    assert_eq!(problems(&with(extra), &small()), [TensorProblem::Unknown { name }]);
}

#[test]
fn old_buffers_are_ignored_whatever_they_hold() {
    let mut tensors = with(Stored {
        name: "transformer.h.0.attn.bias".to_string(),
        dtype: "U8",
        shape: vec![1, 1, 3, 3],
        bytes: vec![1; 9],
    });
    tensors.push(Stored::f32("transformer.h.1.attn.masked_bias", &[], &[f32::NEG_INFINITY]));
    // Before the parameters, so that the stored type is not taken from them.
    tensors.rotate_right(2);
    let folder = folder_with(&[("model.safetensors", &safetensors_file(&tensors))]);
    assert_is_model(folder.path());
    assert_eq!(Checkpoint::open(folder.path()).unwrap().dtype(), "F32");
}

#[test]
fn the_bias_of_the_attention_is_no_buffer() {
    let mut tensors = model();
    tensors.retain(|tensor| tensor.name != "transformer.h.0.attn.c_attn.bias");
    let name = "transformer.h.0.attn.c_attn.bias".to_string();
    assert_eq!(problems(&tensors, &small()), [TensorProblem::Missing { name }]);
}

#[test]
fn a_tied_head_is_ignored_if_it_has_the_right_shape() {
    let head = |shape: &[usize]| Stored::f32("lm_head.weight", shape, &values("x", shape));
    assert_eq!(problems(&with(head(&[5, 4])), &small()), []);
    let expected = TensorProblem::Shape {
        name: "lm_head.weight".to_string(),
        found: vec![4, 5],
        expected: vec![5, 4],
    };
    assert_eq!(problems(&with(head(&[4, 5])), &small()), [expected]);
}

#[test]
fn an_untied_head_is_needed_and_read() {
    let untied = Gpt2Config { tie_word_embeddings: false, ..small() };
    let name = "lm_head.weight".to_string();
    assert_eq!(problems(&model(), &untied), [TensorProblem::Missing { name }]);
    let head = values("lm_head.weight", &[5, 4]);
    let tensors = with(Stored::f32("lm_head.weight", &[5, 4], &head));
    let folder = folder_with(&[("model.safetensors", &safetensors_file(&tensors))]);
    assert_eq!(load(folder.path(), &untied).unwrap().last().unwrap().1, head);
}

#[test]
fn every_fault_is_listed_at_once() {
    let mut tensors = model();
    tensors.retain(|tensor| !tensor.name.ends_with("wpe.weight"));
    for tensor in &mut tensors {
        if tensor.name.ends_with("h.0.attn.c_attn.weight") {
            tensor.shape.reverse();
        }
        if tensor.name.ends_with("h.1.ln_1.bias") {
            tensor.dtype = "I32";
        }
    }
    tensors.push(Stored::f32("transformer.h.0.attn.surprise", &[1], &[0.0]));
    tensors.push(Stored::f32("transformer.h.2.ln_1.bias", &[4], &[0.0; 4]));
    let expected = [
        TensorProblem::Shape {
            name: "transformer.h.0.attn.c_attn.weight".to_string(),
            found: vec![12, 4],
            expected: vec![4, 12],
        },
        TensorProblem::Unknown { name: "transformer.h.0.attn.surprise".to_string() },
        TensorProblem::DType {
            name: "transformer.h.1.ln_1.bias".to_string(),
            found: "I32".to_string(),
        },
        TensorProblem::Unknown { name: "transformer.h.2.ln_1.bias".to_string() },
        TensorProblem::Missing { name: "transformer.wpe.weight".to_string() },
    ];
    assert_eq!(problems(&tensors, &small()), expected);
}

#[test]
fn every_tensor_with_nan_or_infinity_is_listed() {
    let mut tensors = model();
    tensors[0].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    tensors[0].bytes[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    tensors[1].bytes[..4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let expected = [("wpe", 1), ("wte", 2)].map(|(name, count)| TensorProblem::NonFinite {
        name: format!("transformer.{name}.weight"),
        count,
    });
    assert_eq!(problems(&tensors, &small()), expected);
}

#[test]
fn a_huge_configuration_is_refused_without_allocating_it() {
    let huge = Gpt2Config { vocab_size: 1 << 22, n_embd: 1 << 12, n_layer: 300, ..small() };
    huge.validate().unwrap();
    assert!(problems(&model(), &huge).len() > 3000);
}

#[test]
fn a_name_that_the_model_lacks_is_an_error_and_not_a_panic() {
    let folder = folder_with(&[("model.safetensors", &safetensors_file(&model()))]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let mut reader = checkpoint.audit(&small()).unwrap();
    assert!(message(reader.read("transformer.wte.weight")).contains("transformer.wte.weight"));
}
