//! The row-wise kernels against the same arithmetic on the host, in f64.

use burn::backend::ops::FloatTensorOps;
use burn::backend::ops::IntTensorOps;
use burn::backend::{Backend, DTypeUsage};
use burn::tensor::{DType, TensorData};
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
use cubecl::device::WgpuDeviceKind;

mod moments;
mod rows;
mod sample;
mod tables;
mod words;

/// Rows and columns: one, odd, typical, and wider than a cube.
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
    let allowed = match found.dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 1e-5,
    };
    assert_near(found, expected, allowed, context);
}

/// Equal but for a part of the largest number, or of 1.
fn assert_near(found: CubeTensor, expected: &[f64], part: f64, context: &str) {
    let dtype = found.dtype;
    assert!(found.is_contiguous(), "{context}");
    let found = values(found);
    assert_eq!(found.len(), expected.len(), "{context}");
    let allowed = part * expected.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
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
