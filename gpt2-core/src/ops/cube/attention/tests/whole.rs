//! Whole texts, forwards and backwards.

use burn::backend::Backend;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::cast;

use super::reference::Texts;
use super::{assert_near, device, samples, tensor, values};
use crate::ops::causal_attention::Heads;
use crate::ops::cube::attention::{backward, forward};
use crate::ops::dropout::Mask;

/// Forwards and backwards, against the formulas.
fn check(batch: usize, seq: usize, count: usize, head_dim: usize, mask: Option<Mask>) {
    let Some(device) = device() else { return };
    let heads = Heads { count, factor: 0.3, mask };
    let texts = Texts { batch, seq, head_dim, heads };
    let what = format!("{texts:?}");
    let embd = texts.embd();
    let numbers = samples(batch * seq * 3 * embd, 1).into_iter().map(|value| 2.0 * value);
    let numbers: Vec<f32> = numbers.collect();
    let qkv = tensor(&numbers, [batch, seq, 3 * embd], &device);
    let (output, sums) = forward(qkv.clone(), heads);
    let (expected, logarithms) = texts.forward(&numbers);
    assert_near(&values(output.clone()), &expected, 1e-5, &what);
    assert_near(&values(sums.clone()), &logarithms, 1e-5, &what);

    let upstream = samples(batch * seq * embd, 2);
    let given = tensor(&upstream, [batch, seq, embd], &device);
    let gradient = values(backward(given, qkv, output, sums, heads));
    assert_near(&gradient, &texts.backward(&numbers, &upstream), 2e-5, &what);
}

#[test]
fn gradients_and_values_equal_the_formulas_at_any_length() {
    for seq in [1, 3, 33, 70, 130] {
        check(2, seq, 2, 64, None);
    }
}

#[test]
fn gradients_and_values_equal_the_formulas_at_any_head_size() {
    for head_dim in [1, 4, 12, 30, 80] {
        check(1, 33, 2, head_dim, None);
    }
}

#[test]
fn gradients_and_values_equal_the_formulas_with_dropout() {
    for (seq, head_dim) in [(3, 4), (33, 12), (70, 64)] {
        check(2, seq, 3, head_dim, Some(Mask::new(0x1234_5678_9abc_def0, 0.3)));
    }
}

#[test]
fn numbers_of_16_bits_are_summed_in_32() {
    let Some(device) = device() else { return };
    if !CubeBackend::supports_dtype(&device, DType::F16) {
        println!("skipped: the device has no numbers of 16 bits");
        return;
    }
    let heads = Heads { count: 2, factor: 0.3, mask: None };
    let texts = Texts { batch: 1, seq: 70, head_dim: 12, heads };
    // Numbers that 16 bits hold as they are.
    let short = |numbers: Vec<f32>| -> Vec<f32> {
        numbers.into_iter().map(|number| (number * 64.0).round() / 64.0).collect()
    };
    let tensor = |numbers: &[f32], shape| cast(tensor(numbers, shape, &device), DType::F16);
    let numbers = short(samples(70 * 72, 1));
    let qkv = tensor(&numbers, [1, 70, 72]);
    let (output, sums) = forward(qkv.clone(), heads);
    let (expected, logarithms) = texts.forward(&numbers);
    assert_eq!(output.dtype, DType::F16);
    assert_near(&values(output.clone()), &expected, 1e-3, "output");
    assert_near(&values(sums.clone()), &logarithms, 1e-5, "logarithms");
    let upstream = short(samples(70 * 24, 2));
    let gradient = backward(tensor(&upstream, [1, 70, 24]), qkv, output, sums, heads);
    assert_near(&values(gradient), &texts.backward(&numbers, &upstream), 3e-3, "gradient");
}
