//! The row-wise kernels against the same arithmetic on the host, in f64.

use burn::backend::ops::FloatTensorOps;
use burn::backend::ops::IntTensorOps;
use burn::backend::{Backend, DTypeUsage};
use burn::tensor::{DType, TensorData};
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
use cubecl::device::WgpuDeviceKind;

use super::{activation, bias, dropout, embedding, layer_norm, moments, scatter};
use crate::ops::AdamWUpdate;
use crate::ops::dropout::Mask;

/// Rows and columns: one, odd, typical, wider than a cube, and more rows than are summed at a time.
const SIZES: [[usize; 2]; 8] =
    [[1, 1], [300, 1], [3, 7], [1, 96], [70, 96], [300, 768], [3, 3000], [2, 3001]];

/// The device of `GPT2_TEST_DEVICE` if that is one of a GPU's, the best of the machine otherwise, and none without any.
fn device() -> Option<CubeDevice> {
    let device = match std::env::var("GPT2_TEST_DEVICE").as_deref() {
        Ok("cuda") => CubeDevice::cuda(0),
        Ok("vulkan") => CubeDevice::vulkan(WgpuDeviceKind::DefaultDevice),
        _ => CubeDevice::wgpu(WgpuDeviceKind::DefaultDevice)
            .or_else(|_| CubeDevice::wgpu(WgpuDeviceKind::Cpu)),
    };
    device.inspect_err(|error| println!("skipped: {error}")).ok()
}

/// The floats that a device reads and writes.
fn floats(device: &CubeDevice) -> Vec<DType> {
    let all = [DType::F32, DType::F16, DType::BF16].into_iter();
    all.filter(|dtype| CubeBackend::dtype_usage(device, *dtype).contains(DTypeUsage::Storage))
        .collect()
}

/// Numbers between -1 and 1, as a type holds them.
fn numbers(count: usize, seed: u64, dtype: DType) -> Vec<f64> {
    let number = |at: usize| {
        let bits = (at as u64 + 1 + seed * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        bits as f32 / (1 << 23) as f32 - 1.0
    };
    rounded((0..count).map(|at| f64::from(number(at))).collect(), dtype)
}

fn rounded(values: Vec<f64>, dtype: DType) -> Vec<f64> {
    let count = values.len();
    TensorData::new(values, [count]).convert_dtype(dtype).iter().collect()
}

fn tensor(values: &[f64], shape: &[usize], dtype: DType, device: &CubeDevice) -> CubeTensor {
    let data = TensorData::new(values.to_vec(), shape.to_vec()).convert_dtype(dtype);
    CubeBackend::float_from_data(data, device)
}

fn ids(values: &[usize], shape: &[usize], device: &CubeDevice) -> CubeTensor {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    CubeBackend::int_from_data(TensorData::new(values, shape.to_vec()), device)
}

fn values(x: CubeTensor) -> Vec<f64> {
    into_data_sync(x).iter().collect()
}

/// Equal but for the rounding of the type, and of sums in f32.
fn assert_same(found: CubeTensor, expected: &[f64], context: &str) {
    let dtype = found.dtype;
    assert!(found.is_contiguous(), "{context}");
    let found = values(found);
    assert_eq!(found.len(), expected.len(), "{context}");
    let most = expected.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
    let allowed = most
        * match dtype {
            DType::F16 => 1e-3,
            DType::BF16 => 8e-3,
            _ => 1e-5,
        };
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (found - expected).abs();
        assert!(apart <= allowed, "{context} {dtype:?} at {at}: {found} and not {expected}");
    }
}

/// Calls a test with every size and type of the device.
fn for_each(test: impl Fn([usize; 2], DType, &CubeDevice, &str)) {
    let Some(device) = device() else { return };
    for dtype in floats(&device) {
        for [rows, columns] in SIZES {
            test([rows, columns], dtype, &device, &format!("{rows} x {columns}, {dtype:?}"));
        }
    }
}

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
        assert_same(activation::bias_gelu(given(), row()), &activated, context);
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
fn embeddings_are_sums_of_rows() {
    for_each(|[rows, columns], dtype, device, context| {
        let (vocab, batch) = (50, 3);
        let tokens = numbers(vocab * columns, 1, dtype);
        let positions = numbers(rows * columns, 2, dtype);
        let id = |at: usize| (at * at * 7 + at / 3) % vocab;
        let given: Vec<usize> = (0..batch * rows).map(id).collect();
        for place_rows in [1, batch] {
            let places: Vec<usize> = (0..place_rows * rows).map(|at| at * 5 % rows).collect();
            let sum = |at: usize| {
                let (row, column) = (at / columns, at % columns);
                tokens[given[row] * columns + column]
                    + positions[places[row % places.len()] * columns + column]
            };
            let expected: Vec<f64> = (0..batch * rows * columns).map(sum).collect();
            let found = embedding::embeddings(
                tensor(&tokens, &[vocab, columns], dtype, device),
                tensor(&positions, &[rows, columns], dtype, device),
                ids(&given, &[batch, rows], device),
                ids(&places, &[place_rows, rows], device),
            );
            assert_eq!(found.meta.shape().to_vec(), [batch, rows, columns]);
            assert_same(found, &expected, context);
        }
    });
}

#[test]
fn rows_are_added_to_a_table_however_often_an_index_comes() {
    for_each(|[rows, columns], dtype, device, context| {
        let (vocab, batch) = (50, 2);
        let upstream = numbers(batch * rows * columns, 1, dtype);
        let start = numbers(vocab * columns, 2, dtype);
        let most = |at: usize| if at % 3 == 0 { 7 } else { at * 11 % vocab };
        let all: Vec<usize> = (0..batch * rows).map(most).collect();
        let one: Vec<usize> = (0..rows).map(|at| at % vocab).collect();
        for (given, shape) in [(&all, [batch, rows]), (&one, [1, rows])] {
            for table in [None, Some(&start)] {
                let mut expected = table.cloned().unwrap_or(vec![0.0; vocab * columns]);
                for (at, value) in upstream.iter().enumerate() {
                    let row = given[at / columns % given.len()];
                    expected[row * columns + at % columns] += value;
                }
                let run = || {
                    let table = table.map(|table| tensor(table, &[vocab, columns], dtype, device));
                    let upstream = tensor(&upstream, &[batch, rows, columns], dtype, device);
                    scatter::scatter_add(table, vocab, ids(given, &shape, device), upstream)
                };
                let found = run();
                assert_eq!(values(found.clone()), values(run()), "{context}: the order is fixed");
                assert_same(found, &expected, context);
            }
        }
    });
}

#[test]
fn a_table_with_another_owner_stays_as_it_is() {
    let Some(device) = device() else { return };
    let table = tensor(&[1.0, 2.0], &[2, 1], DType::F32, &device);
    let upstream = tensor(&[5.0, 7.0], &[2, 1], DType::F32, &device);
    let found = scatter::scatter_add(Some(table.clone()), 2, ids(&[1, 1], &[2], &device), upstream);
    assert_eq!(values(found), [1.0, 14.0]);
    assert_eq!(values(table.clone()), [1.0, 2.0]);
    let sum = moments::add_scaled(table.clone(), table.clone(), 0.5);
    assert_eq!(values(sum), [1.5, 3.0]);
    assert_eq!(values(table), [1.0, 2.0]);
}

/// Lengths around vectors, cubes and parts.
const LENGTHS: [usize; 6] = [1, 15, 1000, 16_384, 100_003, 300_000];

#[test]
fn squared_norms_equal_f64() {
    let Some(device) = device() else { return };
    for dtype in floats(&device) {
        for count in LENGTHS.into_iter().chain([3_000_000]) {
            let x = numbers(count, 3, dtype);
            let expected: f64 = x.iter().map(|x| x * x).sum();
            let found = moments::squared_norm(tensor(&x, &[count], dtype, &device));
            assert_eq!(found.dtype, DType::F32);
            let found = values(found);
            assert!((found[0] / expected - 1.0).abs() < 3e-7, "{count}: {} {expected}", found[0]);
        }
    }
}

#[test]
fn a_step_of_adamw_equals_f64_with_factors_of_host_and_device() {
    let Some(device) = device() else { return };
    let update = AdamWUpdate {
        gradient_factor: 0.37,
        beta1: 0.9,
        beta2: 0.999,
        root_factor: 1.0 / 0.001_f64.sqrt(),
        epsilon: 1e-8,
        rate: 1e-3 / 0.1,
        decay: 1.0 - 1e-5,
    };
    for dtype in floats(&device) {
        for count in LENGTHS {
            let start = numbers(count, 1, DType::F32);
            let gradient = numbers(count, 2, dtype);
            let given = |values: &[f64]| tensor(values, &[count], DType::F32, &device);
            for factor in [None, Some(0.5)] {
                let (mut value, zeros) = (given(&start), moments::zeros_like(&given(&start)));
                let (mut mean, mut square) = (zeros.clone(), zeros);
                let mut expected = start.clone();
                let mut moments = vec![[0.0; 2]; count];
                for _ in 0..2 {
                    let slope = tensor(&gradient, &[count], dtype, &device);
                    let factors =
                        factor.map(|it| (tensor(&[9.0, it], &[2], DType::F32, &device), 1));
                    (value, mean, square) =
                        moments::adamw(value, mean, square, slope, factors, update);
                    for at in 0..count {
                        let slope = gradient[at] * update.gradient_factor * factor.unwrap_or(1.0);
                        let [mean, square] = &mut moments[at];
                        *mean = update.beta1 * *mean + (1.0 - update.beta1) * slope;
                        *square = update.beta2 * *square + (1.0 - update.beta2) * slope * slope;
                        let root = update.root_factor * square.sqrt() + update.epsilon;
                        expected[at] = update.decay * expected[at] - update.rate * *mean / root;
                    }
                }
                let context = format!("{count} {dtype:?} {factor:?}");
                assert_same(value, &expected, &context);
                let means: Vec<f64> = moments.iter().map(|[mean, _]| *mean).collect();
                assert_same(mean, &means, &context);
                let squares: Vec<f64> = moments.iter().map(|[_, square]| *square).collect();
                assert_same(square, &squares, &context);
            }
        }
    }
}
