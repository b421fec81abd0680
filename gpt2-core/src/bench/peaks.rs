//! What a device does at best: a product of matrices, and a pass over memory.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, FloatDType, Tensor};

use crate::{Error, Result};

/// Widths of the square matrices that are multiplied, one after the other.
const WIDTHS: [usize; 5] = [512, 1024, 2048, 4096, 8192];

/// Bytes that a pass over memory goes over, likewise: more than any cache holds, and no more than a buffer may have
/// where buffers are limited.
const SIZES: [usize; 3] = [64 << 20, 256 << 20, 1 << 30];

/// Longest single pass: no size follows that would take longer.
const LONGEST: Duration = Duration::from_millis(50);

/// Time that passes are repeated for before the device is waited for, so that waiting does not count.
const ENOUGH: Duration = Duration::from_millis(10);

/// Measurements of a size, the best of which counts.
const REPEATS: usize = 4;

/// The best rates of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks {
    /// Floating-point operations per second.
    pub flops: f64,
    /// Bytes per second, read and written together.
    pub bandwidth: f64,
}

impl Peaks {
    /// Measures a device with its own operations, products being of matrices of `dtype`.
    ///
    /// # Errors
    /// [`Error::Compute`] when the device fails.
    pub fn measure(device: &Device, dtype: FloatDType) -> Result<Self> {
        Ok(Self { flops: matmul_flops(device, dtype)?, bandwidth: memory_bandwidth(device)? })
    }
}

/// Floating-point operations per second of the device's own product of matrices: the best
/// that a model can hope for on it, and the yardstick of model FLOPs utilization (MFU).
///
/// Measured on square matrices of random numbers, up to 8192 wide on devices that need less than 50 ms for them;
/// takes about a quarter of a second, more where kernels have to be compiled first.
///
/// # Errors
/// [`Error::Compute`] when the device fails.
pub fn matmul_flops(device: &Device, dtype: FloatDType) -> Result<f64> {
    let device = device.clone().inner();
    best(&WIDTHS, 8.0, |width| {
        // Products of these stay what they are: rows are weighted means.
        let random = Distribution::Uniform(0.0, 2.0 / *width as f64);
        let weights = Tensor::<2>::random([*width, *width], random, &device).cast(dtype);
        let mut product = Tensor::<2>::ones([*width, *width], &device).cast(dtype);
        let seconds = seconds(&device, || product = product.clone().matmul(weights.clone()))?;
        Ok((2.0 * (*width as f64).powi(3), seconds))
    })
}

/// Bytes per second of an operation that reads every number of a tensor and writes another in its place.
///
/// # Errors
/// [`Error::Compute`] when the device fails.
pub fn memory_bandwidth(device: &Device) -> Result<f64> {
    let device = device.clone().inner();
    best(&SIZES, 4.0, |size| {
        let mut values = Some(Tensor::<1>::zeros([size / size_of::<f32>()], &device));
        let seconds = seconds(&device, || values = values.take().map(|values| values + 1.0))?;
        Ok((2.0 * *size as f64, seconds))
    })
}

/// The best rate of passes of growing size, each of which says how much it is and how long it took; the next one is
/// `growth` times as much.
fn best(
    sizes: &[usize],
    growth: f64,
    mut measure: impl FnMut(&usize) -> Result<(f64, f64)>,
) -> Result<f64> {
    let mut best: f64 = 0.0;
    for size in sizes {
        let (amount, seconds) = measure(size)?;
        best = best.max(amount / seconds);
        if seconds * growth > LONGEST.as_secs_f64() {
            break;
        }
    }
    Ok(best)
}

/// Seconds of one pass, in the best of a few measurements.
fn seconds(device: &Device, mut pass: impl FnMut()) -> Result<f64> {
    let mut measure = |passes: u32| {
        let start = Instant::now();
        for _ in 0..passes {
            pass();
            // So that passes are not made into one.
            device.flush().map_err(Error::compute)?;
        }
        device.sync().map_err(Error::compute)?;
        Ok::<_, Error>(start.elapsed().as_secs_f64() / f64::from(passes))
    };
    measure(1)?;
    let one = measure(1)?;
    let passes = (ENOUGH.as_secs_f64() / one).clamp(1.0, 64.0) as u32;
    (0..REPEATS).try_fold(one, |best, _| Ok(best.min(measure(passes)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn a_device_has_believable_rates_in_little_time() {
        let device = device::test_device();
        let start = Instant::now();
        let peaks = Peaks::measure(&device.autodiff(), FloatDType::F32).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert!((1e8..1e16).contains(&peaks.flops), "{peaks:?}");
        assert!((1e7..1e14).contains(&peaks.bandwidth), "{peaks:?}");
    }

    #[test]
    fn no_size_follows_that_would_take_too_long() {
        let mut tried = Vec::new();
        let rate = best(&[512, 1024, 2048], 8.0, |size| {
            tried.push(*size);
            Ok((1.0, 0.01))
        });
        assert_eq!((rate.unwrap(), tried), (100.0, vec![512]));
    }
}
