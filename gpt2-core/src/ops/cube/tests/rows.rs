//! What is done to rows.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::{assert_same, device, for_each, numbers, rounded, tensor, values};
use crate::ops::cube::{activation, bias, dropout, layer_norm};
use crate::ops::dropout::Mask;

/// Mean and `1 / sqrt(variance + epsilon)`.
fn moments_of(row: &[f64], epsilon: f64) -> (f64, f64) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[test]
fn layer_norm_and_its_way_back_equal_f64() {
    const EPSILON: f64 = 1e-5;
    for_each(|[rows, columns], dtype, device, context| {
        let count = rows * columns;
        // Far from 0, where a variance by squares alone would be lost.
        let far = if dtype == DType::F32 { 50.0 } else { 1.0 };
        let far = numbers(count, 1, dtype).iter().map(|x| x * 3.0 + far).collect();
        let (x, upstream) = (rounded(far, dtype), numbers(count, 2, dtype));
        let [weight, bias] = [3, 4].map(|seed| numbers(columns, seed, dtype));
        let mut output = vec![0.0; count];
        let mut by_x = vec![0.0; count];
        let mut by_weight = vec![0.0; columns];
        let mut by_bias = vec![0.0; columns];
        for first in (0..count).step_by(columns) {
            let (mean, factor) = moments_of(&x[first..][..columns], EPSILON);
            let normalized = |at: usize| (x[first + at] - mean) * factor;
            let scaled = |at: usize| upstream[first + at] * weight[at];
            let sum = (0..columns).map(scaled).sum::<f64>() / columns as f64;
            let slope = (0..columns).map(|at| scaled(at) * normalized(at)).sum::<f64>();
            let slope = slope / columns as f64;
            for at in 0..columns {
                output[first + at] = normalized(at) * weight[at] + bias[at];
                by_x[first + at] = (scaled(at) - sum - slope * normalized(at)) * factor;
                by_weight[at] += upstream[first + at] * normalized(at);
                by_bias[at] += upstream[first + at];
            }
        }
        let shape = [1, rows, columns];
        let given = || tensor(&x, &shape, dtype, device);
        let row = |values: &[f64]| tensor(values, &[columns], dtype, device);
        let found = layer_norm::layer_norm(given(), row(&weight), row(&bias), EPSILON);
        assert_eq!(found.meta.shape().to_vec(), shape);
        assert_same(found, &output, context);
        let upstream = tensor(&upstream, &shape, dtype, device);
        let found = layer_norm::layer_norm_backward(upstream, given(), row(&weight), EPSILON);
        for (found, expected) in found.into_iter().zip([by_x, by_weight, by_bias]) {
            assert_same(found, &expected, context);
        }
    });
}

/// One axis would be too short for a cube a row.
#[test]
fn more_rows_are_normalized_than_a_launch_has_cubes_along_an_axis() {
    let Some(device) = device() else { return };
    let (rows, columns) = (70_001, 3);
    let x = numbers(rows * columns, 1, DType::F32);
    let [ones, zeros] = [1.0, 0.0].map(|value| tensor(&[value; 3], &[3], DType::F32, &device));
    let given = tensor(&x, &[rows, columns], DType::F32, &device);
    let found = layer_norm::layer_norm(given, ones, zeros, 1.0);
    let expected = x.chunks(columns).flat_map(|row| {
        let (mean, factor) = moments_of(row, 1.0);
        row.iter().map(move |x| (x - mean) * factor)
    });
    assert_same(found, &expected.collect::<Vec<_>>(), "70001 x 3");
}

fn gelu(x: f64) -> f64 {
    let slope = (2.0 / std::f64::consts::PI).sqrt();
    0.5 * x * (1.0 + (slope * (x + 0.044715 * x.powi(3))).tanh())
}

fn gelu_slope(x: f64) -> f64 {
    let slope = (2.0 / std::f64::consts::PI).sqrt();
    let tanh = (slope * (x + 0.044715 * x.powi(3))).tanh();
    0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope * (1.0 + 3.0 * 0.044715 * x * x)
}

#[test]
fn gelu_alone_behind_a_bias_and_back_equals_f64() {
    for_each(|[rows, columns], dtype, device, context| {
        let count = rows * columns;
        let wide = numbers(count, 1, dtype).iter().map(|x| x * 9.0).collect();
        let (x, upstream) = (rounded(wide, dtype), numbers(count, 2, dtype));
        let addend = numbers(columns, 3, dtype);
        let given = || tensor(&x, &[rows, columns], dtype, device);
        let row = || tensor(&addend, &[columns], dtype, device);
        let activated: Vec<f64> = x.iter().map(|&x| gelu(x)).collect();
        assert_same(activation::gelu(given()), &activated, context);
        let slopes = x.iter().zip(&upstream).map(|(&x, upstream)| gelu_slope(x) * upstream);
        let upstream = tensor(&upstream, &[rows, columns], dtype, device);
        let found = activation::gelu_backward(upstream, given());
        assert_same(found, &slopes.collect::<Vec<_>>(), context);
        let inner: Vec<f64> = (0..count).map(|at| x[at] + addend[at % columns]).collect();
        let activated: Vec<f64> = inner.iter().map(|&x| gelu(x)).collect();
        assert_same(bias::bias_gelu(given(), row()), &activated, context);
        let (found, output) = activation::bias_gelu_with_input(given(), row());
        assert_same(found, &inner, context);
        assert_same(output, &activated, context);
    });
}

#[test]
fn gelu_is_exact_far_from_0() {
    let Some(device) = device() else { return };
    let edges = [-1e12, -40.0, -12.0, 0.0, 12.0, 40.0, 1e12];
    let given = || tensor(&edges, &[7], DType::F32, &device);
    let ones = tensor(&[1.0; 7], &[7], DType::F32, &device);
    let expected = rounded(edges.iter().map(|x: &f64| x.max(0.0)).collect(), DType::F32);
    assert_eq!(values(activation::gelu(given())), expected);
    let found = values(activation::gelu_backward(ones, given()));
    assert_eq!(found, [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
}

#[test]
fn biases_are_added_with_what_stands_around_them() {
    for_each(|[rows, columns], dtype, device, context| {
        let count = rows * columns;
        let mask = Mask::new(0xfedc_ba98_7654_3210, 0.3);
        let [product, residual] = [1, 2].map(|seed| numbers(count, seed, dtype));
        let addend = numbers(columns, 3, dtype);
        let given = |values: &[f64]| tensor(values, &[rows, columns], dtype, device);
        let row = || tensor(&addend, &[columns], dtype, device);
        let sum: Vec<f64> = (0..count).map(|at| product[at] + addend[at % columns]).collect();
        assert_same(bias::add_bias(given(&product), row()), &sum, context);
        // A residual of f32 is not rounded to the type of the product.
        for wide in [dtype, DType::F32] {
            let residual_of = || tensor(&residual, &[rows, columns], wide, device);
            let expected: Vec<f64> = (0..count).map(|at| sum[at] + residual[at]).collect();
            let found = bias::add_bias_residual(given(&product), row(), residual_of());
            assert_eq!(found.dtype, wide);
            assert_same(found, &expected, context);
            let dropped = |at: usize| sum[at] * f64::from(mask.at(at as u64)) + residual[at];
            let expected: Vec<f64> = (0..count).map(dropped).collect();
            let found =
                bias::add_bias_dropout_residual(given(&product), row(), mask, residual_of());
            assert_same(found, &expected, context);
        }
    });
}

#[test]
fn column_sums_equal_f64_in_either_type() {
    let sums = |[rows, columns]: [usize; 2], dtype, device: &CubeDevice, context: &str| {
        let x = numbers(rows * columns, 1, dtype);
        let mut expected = vec![0.0; columns];
        for (at, x) in x.iter().enumerate() {
            expected[at % columns] += x;
        }
        let x = tensor(&x, &[1, rows, columns], dtype, device);
        for out in [dtype, DType::F32] {
            assert_same(bias::column_sums(x.clone(), out), &expected, context);
        }
        assert_eq!(
            values(bias::column_sums(x.clone(), DType::F32)),
            values(bias::column_sums(x, DType::F32)),
            "the order is fixed"
        );
    };
    for_each(sums);
    // More rows than parts of the least size.
    let Some(device) = device() else { return };
    sums([20_001, 6], DType::F32, &device, "20001 x 6");
}

#[test]
fn dropout_has_the_bits_of_the_host() {
    for_each(|[rows, columns], dtype, device, context| {
        let mask = Mask::new(0xffff_ffff_ffff_fff0, 0.3);
        let count = rows * columns;
        let [x, residual] = [1, 2].map(|seed| numbers(count, seed, dtype));
        let given = |values: &[f64]| tensor(values, &[rows, columns], dtype, device);
        let dropped = |at: usize| x[at] as f32 * mask.at(at as u64);
        let expected = (0..count).map(|at| f64::from(dropped(at))).collect();
        let found = dropout::dropout(given(&x), mask);
        assert_eq!(values(found), rounded(expected, dtype), "{context}");
        let sum = |at: usize| f64::from(dropped(at) + residual[at] as f32);
        let expected = (0..count).map(sum).collect();
        let found = dropout::dropout_residual(given(&x), given(&residual), mask);
        assert_eq!(values(found), rounded(expected, dtype), "{context}");
    });
}

#[test]
fn rows_may_lie_across_in_memory() {
    let Some(device) = device() else { return };
    let x = numbers(20 * 30, 1, DType::F32);
    let across = CubeBackend::float_transpose(tensor(&x, &[20, 30], DType::F32, &device));
    let expected: Vec<f64> = (0..600).map(|at| x[at % 20 * 30 + at / 20]).collect();
    let activated: Vec<f64> = expected.iter().map(|&x| gelu(x)).collect();
    assert_same(activation::gelu(across.clone()), &activated, "gelu");
    let mut sums = vec![0.0; 20];
    for (at, x) in expected.iter().enumerate() {
        sums[at % 20] += x;
    }
    assert_same(bias::column_sums(across, DType::F32), &sums, "sums");
}
