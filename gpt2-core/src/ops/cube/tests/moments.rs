//! What an optimizer does.

use burn::tensor::DType;

use super::{assert_same, device, floats, numbers, tensor, values};
use crate::ops::AdamWUpdate;
use crate::ops::cube::moments;

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
