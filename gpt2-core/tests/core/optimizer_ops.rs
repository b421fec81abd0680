//! What an optimizer does with tensors, against ordinary operations and f64.

use burn::tensor::{DType, Device, Tensor, TensorData};
use gpt2_core::ops::{self, AdamWParameters, AdamWUpdate, SquaredNorms};

use crate::common::devices;

/// Lengths around the widths of instructions, the sizes of tasks and what a pool takes.
const LENGTHS: [usize; 9] = [1, 15, 16, 63, 1000, 1 << 14, (1 << 14) + 1, 100_003, 300_000];

fn numbers(count: usize, seed: u64, device: &Device) -> Tensor<1> {
    let number = |at: usize| {
        let bits = (at as u64 + seed * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        bits as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..count).map(number).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn values(x: &Tensor<1>) -> Vec<f32> {
    x.to_data().try_into_vec().unwrap()
}

/// PyTorch's step with decay and clipping, Keras', and one of a bias without either.
fn updates() -> [AdamWUpdate; 3] {
    let torch = AdamWUpdate {
        gradient_factor: 0.37,
        beta1: 0.9,
        beta2: 0.999,
        root_factor: 1.0 / 0.001_f64.sqrt(),
        epsilon: 1e-8,
        rate: 1e-3 / 0.1,
        decay: 1.0 - 1e-5,
    };
    let keras = AdamWUpdate { root_factor: 1.0, epsilon: 1e-7, rate: 3e-4, ..torch };
    [torch, keras, AdamWUpdate { gradient_factor: 1.0, decay: 1.0, beta1: 0.95, ..torch }]
}

/// The formulas in f64.
fn expected(start: [f32; 4], steps: usize, update: &AdamWUpdate) -> f64 {
    let [mut value, mut mean, mut square, gradient] = start.map(f64::from);
    let gradient = gradient * update.gradient_factor;
    for _ in 0..steps {
        mean = update.beta1 * mean + (1.0 - update.beta1) * gradient;
        square = update.beta2 * square + (1.0 - update.beta2) * gradient * gradient;
        let root = update.root_factor * square.sqrt() + update.epsilon;
        value = update.decay * value - update.rate * mean / root;
    }
    value
}

type Moments = [Tensor<1>; 2];

/// A step of one parameter.
fn adamw(
    value: Tensor<1>,
    moments: Option<Moments>,
    gradient: Tensor<1>,
    update: &AdamWUpdate,
) -> (Tensor<1>, Moments) {
    let mut parameters = AdamWParameters::new(None);
    parameters.push(value, moments, gradient, 0, *update);
    parameters.step().remove(0).into_parts()
}

#[test]
fn adamw_equals_its_formulas() {
    for device in devices() {
        for update in updates() {
            for count in LENGTHS {
                let start = numbers(count, 1, &device);
                let gradient = numbers(count, 2, &device);
                let (mut value, mut moments) = (start.clone(), None);
                for _ in 0..3 {
                    let (next, found) = adamw(value, moments, gradient.clone(), &update);
                    (value, moments) = (next, Some(found));
                }
                let found = values(&value);
                for (at, (start, gradient)) in
                    values(&start).into_iter().zip(values(&gradient)).enumerate()
                {
                    let expected = expected([start, 0.0, 0.0, gradient], 3, &update);
                    let apart = (f64::from(found[at]) - expected).abs();
                    assert!(apart < 1e-6, "{device:?} {count} at {at}: {} {expected}", found[at]);
                }
                assert!(values(&start) == values(&numbers(count, 1, &device)), "its owner's stay");
            }
        }
    }
}

#[test]
fn the_fused_step_equals_ordinary_operations_to_the_last_bit() {
    for device in devices() {
        for update in updates() {
            let step = |adamw: fn(_, _, _, &AdamWUpdate) -> (Tensor<1>, Moments)| {
                let mut found = (numbers(100_003, 1, &device), None);
                for seed in 2..5 {
                    let gradient = numbers(100_003, seed, &device);
                    let (value, moments) = adamw(found.0, found.1, gradient, &update);
                    found = (value, Some(moments));
                }
                let [mean, square] = found.1.unwrap();
                [found.0, mean, square].map(|tensor| values(&tensor))
            };
            assert!(step(adamw) == step(ops::plain::adamw), "{device:?} {update:?}");
        }
    }
}

/// Parameters of several ranks and constants, with factors that the device knows and without, each of which is moved as if alone.
#[test]
fn parameters_are_moved_together_as_one_by_one() {
    for device in devices() {
        for factors in [None, Some(numbers(40, 9, &device))] {
            let update = |at: usize| AdamWUpdate { rate: 1e-4 * at as f64, ..updates()[at % 3] };
            let given = |at: usize| {
                let number = |seed| numbers(1 + 33 * at, at as u64 + seed, &device);
                (number(1), (at % 2 == 1).then(|| [number(2), number(3).square()]), number(4))
            };
            let mut parameters = AdamWParameters::new(factors.clone());
            for at in 0..40 {
                let (value, moments, gradient) = given(at);
                if at % 4 == 0 {
                    let [value, gradient] = [value, gradient].map(|it| it.unsqueeze::<2>());
                    parameters.push(value, moments, gradient, at, update(at));
                } else {
                    parameters.push(value, moments, gradient, at, update(at));
                }
            }
            for (at, found) in parameters.step().into_iter().enumerate() {
                let (value, moments, mut gradient) = given(at);
                if let Some(factors) = &factors {
                    gradient = gradient * factors.clone().narrow(0, at, 1);
                }
                let expected = ops::plain::adamw(value, moments, gradient, &update(at));
                let (found, moments) = if at % 4 == 0 {
                    let (value, moments) = found.into_parts::<2>();
                    (value.squeeze_dim(0), moments)
                } else {
                    found.into_parts()
                };
                let of = |(value, [mean, square]): (Tensor<1>, Moments)| {
                    [value, mean, square].map(|it| values(&it))
                };
                let (found, expected) = (of((found, moments)), of(expected));
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    let apart = (found - expected).abs();
                    assert!(apart <= 1e-6, "{device:?} {at}: {found} {expected}");
                }
            }
        }
    }
}

/// The squared norm of one tensor.
fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let mut norms = SquaredNorms::new(&x.device());
    norms.push(Some(x));
    norms.finish()
}

#[test]
fn norms_have_the_order_of_their_tensors_and_0_where_there_is_none() {
    for device in devices() {
        let mut norms = SquaredNorms::new(&device);
        norms.push::<1>(None);
        norms.push(Some(Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device)));
        norms.push::<2>(None);
        norms.push(Some(Tensor::<1>::from_floats([0.5], &device)));
        assert_eq!(norms.finish().try_into_vec_as::<f64>().unwrap(), [0.0, 30.0, 0.0, 0.25]);
        let mut none = SquaredNorms::new(&device);
        none.push::<1>(None);
        assert_eq!(none.finish().try_into_vec_as::<f64>().unwrap(), [0.0]);
    }
}

/// Relative error of a sum of squares: on flex measured 2e-8; `ndarray` adds in f32, one by one.
fn error_of_norms(device: &Device) -> f64 {
    if gpt2_core::device::name(device).as_deref() == Some("flex") { 3e-7 } else { 1e-4 }
}

#[test]
fn squared_norms_are_those_of_f64_for_any_number_of_threads() {
    for device in devices() {
        for count in LENGTHS {
            let x = numbers(count, 3, &device);
            let expected: f64 = values(&x).into_iter().map(|x| f64::from(x).powi(2)).sum();
            let norm = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let sum = || squared_norm(x.clone()).try_into_vec_as::<f64>().unwrap()[0];
                pool.install(sum)
            };
            let found = norm(1);
            assert!(
                (found / expected - 1.0).abs() < error_of_norms(&device),
                "{device:?} {count}: {found}"
            );
            assert_eq!(found, norm(2));
            assert_eq!(found, norm(3));
        }
        // The other axis first in memory.
        let x = numbers(600, 4, &device).reshape([20, 30]).transpose();
        let expected: f64 = squared_norm(numbers(600, 4, &device)).into_scalar();
        let found: f64 = squared_norm(x).into_scalar();
        assert!((found / expected - 1.0).abs() < 1e-6);
    }
}

#[test]
fn sums_are_added_to_and_their_parts_left_alone() {
    for device in devices() {
        for count in LENGTHS {
            let (sum, part) = (numbers(count, 5, &device), numbers(count, 6, &device));
            let found = values(&ops::add_scaled(sum.clone(), part.clone(), 0.5));
            for (at, (sum, part)) in values(&sum).into_iter().zip(values(&part)).enumerate() {
                assert_eq!(found[at], sum + part * 0.5, "{device:?} {count} at {at}");
            }
            assert!(values(&part) == values(&numbers(count, 6, &device)));
        }
    }
}

/// A step on tensors without other owners allocates nothing that grows with them.
#[test]
fn a_step_on_flex_changes_weights_and_moments_where_they_lie() {
    let Ok(device) = gpt2_core::device::by_name("flex") else { return };
    let [update, ..] = updates();
    let count = 300_000;
    let value = numbers(count, 1, &device);
    let gradient = numbers(count, 2, &device);
    assert_eq!(value.dtype(), DType::F32);
    let (value, moments) = adamw(value, None, gradient.clone(), &update);
    // The counter is the thread's: on a pool of one thread nothing escapes it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let reserved = ops::reserved_memory();
        let mut found = None;
        let counted = allocation_counter::measure(|| {
            let (value, moments) = adamw(value, Some(moments), gradient.clone(), &update);
            let sum = ops::add_scaled(value, gradient.clone(), 2.0);
            found = Some((sum, moments));
        });
        assert!(counted.bytes_total < 20_000, "{}", counted.bytes_total);
        assert_eq!(ops::reserved_memory(), reserved);
    });
}
