//! What an optimizer does.

use burn::tensor::DType;
use burn_cubecl::CubeDevice;
use burn_cubecl::tensor::CubeTensor;

use super::{assert_same, device, floats, numbers, tensor, values};
use crate::ops::AdamWUpdate;
use crate::ops::cube::moments::{self, Parameter};
use crate::ops::cube::{groups, norms};

/// Lengths around vectors, cubes and parts.
const LENGTHS: [usize; 8] = [1, 3, 15, 1000, 4097, 16_384, 100_003, 300_000];

const UPDATE: AdamWUpdate = AdamWUpdate {
    gradient_factor: 0.37,
    beta1: 0.9,
    beta2: 0.999,
    root_factor: 31.6,
    epsilon: 1e-8,
    rate: 1e-2,
    decay: 1.0 - 1e-5,
};

/// Tensors of odd and even lengths, more than any launch takes; every third is of another type, where the device has one.
fn many(device: &CubeDevice) -> Vec<(usize, DType)> {
    let types = floats(device);
    let lengths = LENGTHS[..6].iter().cycle().take(100);
    lengths.enumerate().map(|(at, &length)| (length, types[(at / 3) % types.len()])).collect()
}

#[test]
fn squared_norms_equal_f64() {
    let Some(device) = device() else { return };
    for dtype in floats(&device) {
        for count in LENGTHS.into_iter().chain([3_000_000]) {
            let x = numbers(count, 3, dtype);
            let expected: f64 = x.iter().map(|x| x * x).sum();
            let found = norms::squared_norms(vec![tensor(&x, &[count], dtype, &device)], &[1], 3);
            assert_eq!(found.dtype, DType::F32);
            let found = values(found);
            assert!((found[1] / expected - 1.0).abs() < 3e-7, "{count}: {} {expected}", found[1]);
            assert_eq!([found[0], found[2]], [0.0; 2]);
        }
    }
}

#[test]
fn norms_of_many_tensors_are_those_of_each_to_the_last_bit() {
    let Some(device) = device() else { return };
    let given = |(seed, &(count, dtype)): (usize, &(usize, DType))| {
        tensor(&numbers(count, seed as u64, dtype), &[count], dtype, &device)
    };
    let xs: Vec<CubeTensor> = many(&device).iter().enumerate().map(given).collect();
    // Every other place stays empty.
    let places: Vec<usize> = (0..xs.len()).map(|at| 2 * at + 1).collect();
    let found = values(norms::squared_norms(xs.clone(), &places, 2 * xs.len() + 1));
    for (at, x) in xs.into_iter().enumerate() {
        let alone = values(norms::squared_norms(vec![x], &[0], 1));
        assert_eq!(found[2 * at..2 * at + 2], [0.0, alone[0]], "{at}");
    }
}

#[test]
fn groups_are_of_one_kind_and_no_larger_than_the_device_allows() {
    let Some(device) = device() else { return };
    let client = tensor(&[0.0], &[1], DType::F32, &device).client;
    let kinds: Vec<usize> = (0..150).map(|at| at % 7 % 2).collect();
    for [bindings, shared] in [[1, 1], [4, 2]] {
        let most = groups::most(&client, bindings, shared);
        let all = client.properties().hardware.max_bindings as usize;
        assert!(most == 1 || most * bindings + shared < all);
        let groups = groups::groups(&client, &kinds, bindings, shared);
        let of_kind = |kind| kinds.iter().filter(|&&found| found == kind).count();
        assert_eq!(groups.len(), of_kind(0).div_ceil(most) + of_kind(1).div_ceil(most));
        for group in &groups {
            assert!(group.len() <= most && group.iter().all(|&at| kinds[at] == kinds[group[0]]));
        }
        let mut all = groups.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..150));
    }
}

/// A parameter and gradient of a seed, before any step.
fn parameter(count: usize, seed: u64, dtype: DType, device: &CubeDevice) -> Parameter {
    let value = tensor(&numbers(count, seed, DType::F32), &[count], DType::F32, device);
    let [mean, square] = [(); 2].map(|()| moments::moment(&value));
    let gradient = tensor(&numbers(count, seed + 1, dtype), &[count], dtype, device);
    Parameter { state: [value, mean, square], gradient, place: 1, update: UPDATE }
}

#[test]
fn a_step_of_adamw_equals_f64_with_factors_of_host_and_device() {
    let Some(device) = device() else { return };
    for dtype in floats(&device) {
        for count in LENGTHS {
            let start = numbers(count, 1, DType::F32);
            let gradient = numbers(count, 2, dtype);
            for factor in [None, Some(0.5)] {
                let mut found = parameter(count, 1, dtype, &device).state;
                let mut expected = start.clone();
                let mut moments = vec![[0.0; 2]; count];
                for _ in 0..2 {
                    let factors = factor.map(|it| tensor(&[9.0, it], &[2], DType::F32, &device));
                    let parameter =
                        Parameter { state: found, ..parameter(count, 1, dtype, &device) };
                    [found] = moments::adamw(vec![parameter], factors).try_into().unwrap();
                    for at in 0..count {
                        let slope = gradient[at] * UPDATE.gradient_factor * factor.unwrap_or(1.0);
                        let [mean, square] = &mut moments[at];
                        *mean = UPDATE.beta1 * *mean + (1.0 - UPDATE.beta1) * slope;
                        *square = UPDATE.beta2 * *square + (1.0 - UPDATE.beta2) * slope * slope;
                        let root = UPDATE.root_factor * square.sqrt() + UPDATE.epsilon;
                        expected[at] = UPDATE.decay * expected[at] - UPDATE.rate * *mean / root;
                    }
                }
                let context = format!("{count} {dtype:?} {factor:?}");
                let [value, mean, square] = found;
                assert_same(value, &expected, &context);
                let means: Vec<f64> = moments.iter().map(|[mean, _]| *mean).collect();
                assert_same(mean, &means, &context);
                let squares: Vec<f64> = moments.iter().map(|[_, square]| *square).collect();
                assert_same(square, &squares, &context);
            }
        }
    }
}

/// Each parameter has constants and a factor of its own.
#[test]
fn a_step_of_many_parameters_is_that_of_each_to_the_last_bit() {
    let Some(device) = device() else { return };
    let many = many(&device);
    let factors: Vec<f64> = (0..many.len()).map(|at| 1.0 / (1 + at) as f64).collect();
    let factors = tensor(&factors, &[many.len()], DType::F32, &device);
    for factors in [None, Some(factors)] {
        let of = |(at, &(count, dtype)): (usize, &(usize, DType))| {
            let (rate, decay) = (1e-3 * (1 + at) as f64, 1.0 - 1e-4 * at as f64);
            let update = AdamWUpdate { rate, decay, ..UPDATE };
            Parameter { place: at, update, ..parameter(count, at as u64, dtype, &device) }
        };
        let parameters = || many.iter().enumerate().map(of);
        let found = moments::adamw(parameters().collect(), factors.clone());
        assert_eq!(found.len(), many.len());
        for (at, (found, parameter)) in found.into_iter().zip(parameters()).enumerate() {
            let start = values(parameter.state[0].clone());
            let [alone] = moments::adamw(vec![parameter], factors.clone()).try_into().unwrap();
            let [found, alone] = [found, alone].map(|state| state.map(values));
            assert_eq!(found, alone, "{at}");
            assert!(found[0].iter().zip(&start).all(|(found, start)| found != start), "{at}");
        }
    }
}

#[test]
fn a_step_leaves_tensors_of_other_owners_alone_and_moves_its_own_where_they_lie() {
    let Some(device) = device() else { return };
    let given = LENGTHS.map(|count| parameter(count, 5, DType::F32, &device));
    let kept = given.each_ref().map(|parameter| parameter.state[0].clone());
    let before = kept.clone().map(values);
    let memory = |x: &CubeTensor| {
        // A tensor has a place from when something has been done with it.
        values(x.clone());
        format!("{:?}", x.handle)
    };
    let places = given.each_ref().map(|parameter| memory(&parameter.state[1]));
    let found = moments::adamw(given.into(), None);
    for ((kept, before), (found, place)) in
        kept.into_iter().zip(before).zip(found.into_iter().zip(places))
    {
        let [value, mean, _] = found;
        assert_eq!(memory(&mean), place);
        assert_ne!(values(value), before);
        assert_eq!(values(kept), before);
    }
}
