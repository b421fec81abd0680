//! The kernels on a device of this machine, against sums in `f64`.

mod cached;
mod mask;
mod matrix;
mod reference;
mod whole;

use burn::backend::ops::FloatTensorOps;
use burn::tensor::TensorData;
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};

/// A device for the tests; where there is none, they say so and end.
fn device() -> Option<CubeDevice> {
    let found = CubeDevice::enumerate_all().into_iter().next();
    if found.is_none() {
        println!("skipped: no GPU, and no software in the place of one");
    }
    found
}

/// Numbers between -1 and 1, other ones for each seed.
fn samples(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &CubeDevice) -> CubeTensor {
    CubeBackend::float_from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values(tensor: CubeTensor) -> Vec<f32> {
    into_data_sync(tensor).iter::<f32>().collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= tolerance * expected.abs().max(1.0),
            "{what}, number {index}: {found} instead of {expected}"
        );
    }
}
