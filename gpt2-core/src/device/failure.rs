//! Failures of GPUs, which their runtimes report late: when a result is read, or by a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;

use crate::{Error, Result};

/// What a device takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the largest tensor.
    pub largest_tensor: u64,
    /// Bytes of its memory, where it tells them: CUDA does, Vulkan in a build with the feature `vulkan`, Metal with `metal`.
    pub memory: Option<u64>,
}

impl Limits {
    /// Refuses what needs more bytes than the device has in all, or more in one piece than it takes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] or [`Error::TooLarge`], naming `what`.
    pub fn check(&self, what: &str, largest_tensor: u64, all: u64) -> Result<()> {
        if largest_tensor > self.largest_tensor {
            return Err(Error::TooLarge {
                what: what.to_string(),
                bytes: largest_tensor,
                limit: self.largest_tensor,
            });
        }
        match self.memory {
            Some(memory) if all > memory => {
                Err(Error::OutOfMemory { requested: Some(all), free: Some(memory) })
            }
            _ => Ok(()),
        }
    }
}

/// Limits of a GPU, training device or not; `None` for the processor's own backends, where the operating system decides.
#[must_use]
pub fn limits(device: &Device) -> Option<Limits> {
    #[cfg(feature = "cube")]
    return super::gpu::limits(device);
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        None
    }
}

/// Runs what computes on a device, and makes an error of a panic where that is a GPU.
///
/// Burn's operations return no errors; where the runtime of a GPU runs out of memory or loses its device, they panic. What a
/// backend of the processor panics about is a bug and stays one.
///
/// # Errors
/// What `work` returns; [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Compute`] for a panic.
pub fn guarded<T, E: From<Error>>(
    device: &Device,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if !super::is_gpu(device) {
        return work();
    }
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(of_words(words(panic.as_ref())).with_free(free(device)).into()))
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Bytes that nobody uses, as far as the device tells; other processes are not seen.
fn free(device: &Device) -> Option<u64> {
    let memory = limits(device)?.memory?;
    // A device that is lost does not answer.
    let usage = catch_unwind(AssertUnwindSafe(|| device.memory_pool_usage())).ok()??;
    Some(memory.saturating_sub(usage.bytes_in_use))
}

/// The error that a runtime means.
pub(crate) fn of_words(words: &str) -> Error {
    let requested = ["out of device memory allocating ", "can't allocate buffer of size: "];
    let number = requested.iter().find_map(|before| number_after(words, before));
    if number.is_some() || words.contains("Out of Memory") || words.contains("OutOfMemory") {
        return Error::OutOfMemory { requested: number, free: None };
    }
    let reason = without_traces(words);
    let is_lost = ["poisoned", "DevicePoisoned", "device was lost", "Device lost", "DeviceLost"];
    if is_lost.iter().any(|sign| words.contains(sign)) {
        return Error::DeviceLost { reason };
    }
    Error::Compute { reason }
}

fn number_after(text: &str, before: &str) -> Option<u64> {
    let rest = &text[text.find(before)? + before.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// One line: the innermost cause, without the addresses of functions.
fn without_traces(words: &str) -> String {
    // In the debugging form of a text line ends are two characters.
    let words = words.replace("\\n", "\n");
    let told = words.split("Backtrace").next().unwrap_or_default();
    let cause = told.rsplit("Caused by:").next().unwrap_or(told);
    let lines = cause.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    if text.is_empty() { words.trim().to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::device;

    #[test]
    fn what_a_runtime_says_of_memory_keeps_its_number() {
        for (words, bytes) in [
            (
                "A launch error\nCaused by:\n  out of device memory allocating 4096 bytes\n 0: f",
                Some(4096),
            ),
            (
                "Io(BufferTooBig): can't allocate buffer of size: 123456789012\nBacktrace:\n",
                Some(123_456_789_012),
            ),
            ("wgpu error: Out of Memory", None),
        ] {
            let Error::OutOfMemory { requested, .. } = of_words(words) else { panic!("{words}") };
            assert_eq!(requested, bytes);
        }
        let error = of_words("out of device memory allocating 4096 bytes").with_free(Some(100));
        let error = error.to_string();
        assert!(error.contains("4096 bytes") && error.contains("100 bytes are free"), "{error}");
        assert!(error.contains("batch") && error.contains("--gradient-checkpointing"), "{error}");
        assert!(error.contains("--dtype"), "{error}");
    }

    #[test]
    fn a_device_that_is_lost_and_one_that_fails_are_told_in_one_line() {
        let lost = "The device is poisoned\nCaused by:\n  Unknown: the GPU fell off the bus\nBacktrace:\n  0: main";
        let error = of_words(lost).to_string();
        assert_eq!(error, "the device was lost: Unknown: the GPU fell off the bus");
        let error = of_words("An error happened\nCaused by:\n  a kernel of no name").to_string();
        assert_eq!(error, "the device failed: a kernel of no name");
        assert_eq!(of_words("odd").to_string(), "the device failed: odd");
    }

    #[test]
    fn limits_name_what_is_too_much_and_by_how_much() {
        let limits = Limits { largest_tensor: 100, memory: Some(1000) };
        limits.check("it", 100, 1000).unwrap();
        let error = limits.check("the weight `w`", 101, 0).unwrap_err().to_string();
        assert!(error.contains("the weight `w`") && error.contains("101") && error.contains("100"));
        let error = limits.check("it", 1, 1001).unwrap_err().to_string();
        assert!(error.contains("1001 bytes") && error.contains("1000 bytes"), "{error}");
        Limits { largest_tensor: 1, memory: None }.check("it", 1, u64::MAX).unwrap();
    }

    #[test]
    fn a_panic_is_an_error_on_a_gpu_and_a_panic_elsewhere() {
        let device = device::test_device();
        let work = || -> Result<()> { panic!("wgpu error: Out of Memory") };
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| guarded(&device, work)));
        match device::is_gpu(&device) {
            true => assert!(matches!(found, Ok(Err(Error::OutOfMemory { .. })))),
            false => assert!(found.is_err()),
        }
    }

    /// A tensor that no device has room for, and after it one that fits.
    #[test]
    fn a_tensor_beyond_all_limits_is_an_error_and_the_device_goes_on() {
        let device = device::test_device();
        let Some(limits) = limits(&device) else { return };
        let side = (limits.largest_tensor as f64 / 4.0).sqrt() as usize * 4;
        let sum = |side: usize| {
            guarded(&device, || {
                let sum = Tensor::<2>::ones([side, side], &device).sum();
                sum.try_into_scalar::<f32>().map_err(Error::compute)
            })
        };
        let error = sum(side).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. } | Error::Compute { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert_eq!(sum(100).unwrap(), 10_000.0);
    }
}
