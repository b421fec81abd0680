//! What comes out of the fused operations, for a backend that has to know before it computes.

use std::ops::Range;

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};

use super::AdamWUpdate;
use super::causal_attention::Heads;
use super::sample::SampleOptions;
use crate::quantize::WordShape;

/// `shape` with another extent of the last axis.
fn with_last(shape: &Shape, last: usize) -> Shape {
    let mut shape = shape.clone();
    let axis = shape.num_dims() - 1;
    shape[axis] = last;
    shape
}

fn last(shape: &Shape) -> usize {
    shape[shape.num_dims() - 1]
}

/// One number.
pub(super) fn one() -> Shape {
    Shape::new([1])
}

pub(super) fn flat(shape: &Shape) -> Shape {
    Shape::new([shape.num_elements()])
}

pub(super) fn of_linear(x: &Shape, weight: &Shape) -> Shape {
    with_last(x, weight[1])
}

pub(super) fn of_scores(x: &Shape, table: &Shape) -> Shape {
    with_last(x, table[0])
}

pub(super) fn of_look_up(table: &Shape, ids: &Shape) -> Shape {
    Shape::new([ids[0], ids[1], table[1]])
}

pub(super) fn of_attention(qkv: &Shape) -> Shape {
    with_last(qkv, last(qkv) / 3)
}

pub(super) fn of_weight_gradient(x: &Shape, upstream: &Shape) -> Shape {
    Shape::new([last(x), last(upstream)])
}

pub(super) fn of_bias_gradient(upstream: &Shape) -> Shape {
    Shape::new([last(upstream)])
}

pub(super) fn of_scattered(upstream: &Shape, rows: &usize) -> Shape {
    Shape::new([*rows, last(upstream)])
}

pub(super) fn of_words(x: &Shape, words: &WordShape) -> Shape {
    with_last(x, words.columns)
}

pub(super) fn of_word_rows(ids: &Shape, words: &WordShape) -> Shape {
    Shape::new([ids[0], ids[1], words.depth])
}

pub(super) fn of_word_table(words: &WordShape) -> Shape {
    Shape::new([words.columns, words.depth])
}

pub(super) fn of_layer_norm_backward(
    _upstream: &TensorSpec,
    x: &TensorSpec,
    weight: &TensorSpec,
    _epsilon: &f64,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (x.clone(), weight.clone(), weight.clone())
}

pub(super) fn of_linear_gelu_with_input(
    x: &TensorSpec,
    weight: &TensorSpec,
    _bias: &TensorSpec,
) -> (TensorSpec, TensorSpec) {
    let output = TensorSpec::new(of_linear(&x.shape, &weight.shape), weight.dtype);
    (output.clone(), output)
}

pub(super) fn of_cross_entropy(
    _hidden: &TensorSpec,
    _table: &TensorSpec,
    targets: &TensorSpec,
    _factor: &f64,
) -> (TensorSpec, TensorSpec) {
    (TensorSpec::new(one(), DType::F32), TensorSpec::new(one(), targets.dtype))
}

pub(super) fn of_cross_entropy_with_gradients(
    hidden: &TensorSpec,
    table: &TensorSpec,
    targets: &TensorSpec,
    factor: &f64,
    wanted: &[bool; 2],
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    let (loss, hits) = of_cross_entropy(hidden, table, targets, factor);
    let by_hidden = if wanted[0] { hidden.clone() } else { loss.clone() };
    // In f32, as every gradient of a weight.
    let of_table = TensorSpec::new(table.shape.clone(), DType::F32);
    let by_table = if wanted[1] { of_table } else { loss.clone() };
    (loss, hits, by_hidden, by_table)
}

pub(super) fn of_attention_with_sums(qkv: &TensorSpec, heads: &Heads) -> (TensorSpec, TensorSpec) {
    let sums = Shape::new([qkv.shape[0], heads.count, qkv.shape[1]]);
    (TensorSpec::new(of_attention(&qkv.shape), qkv.dtype), TensorSpec::new(sums, DType::F32))
}

pub(super) fn of_attend(
    qkv: &TensorSpec,
    keys: &TensorSpec,
    values: &TensorSpec,
    _places: &Vec<Range<usize>>,
    _factor: &f32,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    let output = TensorSpec::new(of_attention(&qkv.shape), qkv.dtype);
    (output, keys.clone(), values.clone())
}

pub(super) fn of_greedy(logits: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let ids = TensorSpec::new(Shape::new([logits.shape[0]]), DType::I32);
    (ids.clone(), ids)
}

pub(super) fn of_sample(
    logits: &TensorSpec,
    _numbers: &TensorSpec,
    _options: &SampleOptions,
) -> (TensorSpec, TensorSpec) {
    of_greedy(logits)
}

pub(super) fn of_adamw(
    values: &[TensorSpec],
    means: &[TensorSpec],
    squares: &[TensorSpec],
    _gradients: &[TensorSpec],
    _factors: &[TensorSpec],
    _places: &[usize],
    _updates: &[AdamWUpdate],
) -> (Vec<TensorSpec>, Vec<TensorSpec>, Vec<TensorSpec>) {
    (values.to_vec(), means.to_vec(), squares.to_vec())
}

pub(super) fn of_squared_norms(_xs: &[TensorSpec], _places: &[usize], count: &usize) -> TensorSpec {
    TensorSpec::new(Shape::new([*count]), DType::F32)
}
