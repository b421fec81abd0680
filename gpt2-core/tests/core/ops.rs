//! Operations with a faster body for a backend against the ordinary ones.

use burn::tensor::{Tensor, Tolerance};
use gpt2_core::config::Activation;
use gpt2_core::ops;

use crate::common::{devices, numbers};

fn assert_same<const D: usize>(fast: &Tensor<D>, ordinary: &Tensor<D>, context: &str) {
    assert_eq!(fast.dims(), ordinary.dims(), "{context}");
    let tolerance = Tolerance::relative(1e-5).set_absolute(1e-4);
    fast.to_data().assert_approx_eq::<f32>(&ordinary.to_data(), tolerance);
}

/// Rows, depth and columns: around the widths of instructions and the sizes of tasks, few rows and
/// more than the faster bodies take.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [1, 7, 5],
    [2, 48, 144],
    [3, 33, 31],
    [1, 300, 1100],
    [8, 257, 1030],
    [5, 771, 129],
    [4, 256, 768],
    [8, 1024, 256],
    [15, 100, 1700],
    [16, 64, 64],
    [17, 65, 67],
];

#[test]
fn products_of_few_rows_equal_ordinary_ones() {
    for device in devices() {
        for [rows, depth, columns] in SHAPES {
            let context = format!("{device:?} {rows} x {depth} x {columns}");
            let x = numbers([rows, 1, depth], 1, &device);
            let weight = numbers([depth, columns], 2, &device);
            let bias = numbers([columns], 3, &device);
            let product = x.clone().matmul(weight.clone().unsqueeze()) + bias.clone().unsqueeze();
            assert_same(&ops::linear(x.clone(), weight.clone(), bias), &product, &context);
            let table = numbers([columns, depth], 4, &device);
            let product = x.clone().matmul(table.clone().transpose().unsqueeze());
            assert_same(&ops::scores(x.clone(), table), &product, &context);
            // The same numbers, lying in memory the other way round.
            let product = x.clone().matmul(weight.clone().unsqueeze());
            assert_same(&ops::scores(x, weight.transpose()), &product, &context);
        }
    }
}

#[test]
fn a_row_gives_the_same_alone_and_among_others() {
    for device in devices() {
        let x = numbers([16, 1, 768], 1, &device);
        let (weight, bias) = (numbers([768, 1536], 2, &device), numbers([1536], 3, &device));
        let all = ops::linear(x.clone(), weight.clone(), bias.clone());
        for row in [0, 3, 15] {
            let alone = ops::linear(x.clone().narrow(0, row, 1), weight.clone(), bias.clone());
            assert_same(&alone, &all.clone().narrow(0, row, 1), "linear");
        }
    }
}

#[test]
fn gelu_equals_its_formula() {
    for device in devices() {
        let edges = [-1e30, -100.0, -12.0, -1e-6, 0.0, 1e-6, 3.0, 12.0, 100.0, 1e30];
        let edges = Tensor::<1>::from_floats(edges, &device);
        let x = Tensor::cat(vec![numbers([10_001], 5, &device) * 9.0, edges], 0);
        let inner = (x.clone() + x.clone().powi_scalar(3) * 0.044_715) * 0.797_884_6;
        let expected = x.clone() * 0.5 * (inner.tanh() + 1.0);
        let found = ops::activate(x.clone(), Activation::GeluNew);
        let tolerance = Tolerance::relative(1e-5).set_absolute(2e-6);
        // Cubes of the edges overflow in the formula, which is then no measure.
        let [found, expected] = [found, expected].map(|all| all.narrow(0, 0, 10_001));
        found.to_data().assert_approx_eq::<f32>(&expected.to_data(), tolerance);
        let whole =
            ops::activate(x.clone().reshape([1, 1, 10_011]).swap_dims(1, 2), Activation::GeluNew);
        let ends: Vec<f32> =
            whole.reshape([10_011]).narrow(0, 10_001, 10).try_into_vec_as().unwrap();
        assert_eq!(ends[..3], [0.0; 3], "{ends:?}");
        assert_eq!(ends[7..], [12.0, 100.0, 1e30], "{ends:?}");
        assert_eq!(x.narrow(0, 10_001, 1).into_scalar::<f32>(), -1e30, "the input is left alone");
    }
}

/// Derivatives at -3, -1.25, -0.5, 0.25, 0.75 and 2.5, of `ACT2FN` in PyTorch's f64.
const DERIVATIVES: [(Activation, [f32; 6]); 6] = [
    (Activation::Gelu, [-0.011_946, -0.122_662, 0.132_505, 0.695_373, 0.999_226, 1.037_611]),
    (Activation::GeluNew, [-0.011_584, -0.122_493, 0.132_630, 0.695_354, 0.998_938, 1.037_952]),
    (Activation::QuickGelu, [-0.024_548, -0.095_916, 0.120_778, 0.706_500, 0.999_572, 1.044_719]),
    (Activation::Relu, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    (Activation::Silu, [-0.088_104, 0.006_319, 0.260_039, 0.623_710, 0.842_600, 1.099_401]),
    (Activation::Tanh, [0.009_866, 0.280_415, 0.786_448, 0.940_015, 0.596_586, 0.026_592]),
];

#[test]
fn derivatives_of_activations_equal_pytorch() {
    for device in devices() {
        let x = Tensor::<1>::from_floats([-3.0, -1.25, -0.5, 0.25, 0.75, 2.5], &device);
        for (function, expected) in DERIVATIVES {
            let leaf = x.clone().autodiff().require_grad();
            let gradients = ops::activate(leaf.clone(), function).sum().backward();
            let found: Vec<f32> = leaf.grad(&gradients).unwrap().try_into_vec_as().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{function:?}: {found} is not {expected}");
            }
        }
    }
}
