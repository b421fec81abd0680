//! The one place that names a backend.

use burn::tensor::Device;

use crate::{Error, Result};

/// What a device is, for a list that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name that [`by_name`] takes.
    pub name: &'static str,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// Whether [`best`] is this one.
    pub default: bool,
}

/// Names of the backends that are compiled in, best first.
#[must_use]
pub fn available() -> Vec<DeviceInfo> {
    let list = [
        #[cfg(feature = "wgpu")]
        ("wgpu", "gpu"),
        #[cfg(feature = "flex")]
        ("flex", "cpu"),
        #[cfg(feature = "ndarray")]
        ("ndarray", "cpu"),
    ];
    let first = list.first().map(|(name, _): &(&str, &str)| *name);
    list.into_iter()
        .map(|(name, kind)| DeviceInfo { name, kind, default: Some(name) == first })
        .collect()
}

/// The device of a name as `--device` takes it: `flex`, `ndarray`, `wgpu`.
///
/// # Errors
/// [`Error::Device`] when the backend is not compiled in; the message lists those that are.
/// [`Error::Environment`] when `GPT2_SIMD` names instructions that the processor lacks, or `GPT2_OPS` is neither
/// `fused` nor `plain`.
pub fn by_name(name: &str) -> Result<Device> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => crate::ops::check_environment().map(|()| Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        other => Err(Error::Device { requested: other.to_string(), available: names() }),
    }
}

/// The set of instructions that the kernels of a CPU backend use, as `GPT2_SIMD` names it: `avx512vnni`, `avx512`, `avx2`,
/// `neon` or `portable`; `None` for a backend without kernels of ours.
#[must_use]
pub fn instructions(name: &str) -> Option<&'static str> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Some(crate::ops::instructions()),
        _ => None,
    }
}

/// The best device that is compiled in.
///
/// # Errors
/// [`Error::Device`] when the crate was built without any backend.
pub fn best() -> Result<Device> {
    let best = available().first().map_or("default", |info| info.name);
    by_name(best)
}

/// The name that [`by_name`] takes for a device, training device or not; `None` for one that is not
/// in the list.
#[must_use]
pub fn name(device: &Device) -> Option<&'static str> {
    let is_it = |info: &DeviceInfo| by_name(info.name).is_ok_and(|listed| listed == *device);
    available().into_iter().find(is_it).map(|info| info.name)
}

/// Whether tensors of this device, training device or not, are in the host's memory.
#[must_use]
pub fn is_cpu(device: &Device) -> bool {
    let hosts: &[fn() -> Device] = &[
        #[cfg(feature = "flex")]
        Device::flex,
        #[cfg(feature = "ndarray")]
        ndarray,
    ];
    hosts.iter().any(|host| host() == *device)
}

/// Whether tensors of this device, training device or not, are in the memory of a GPU, or of a program that does as one.
#[must_use]
pub fn is_gpu(device: &Device) -> bool {
    !is_cpu(device)
}

/// Whether it is `flex`, training device or not.
pub(crate) fn is_flex(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// `Device::ndarray` is deprecated upstream; the backend is kept as a second opinion on numbers.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

fn names() -> String {
    let names: Vec<_> = available().into_iter().map(|info| info.name).collect();
    if names.is_empty() { "no backend".to_string() } else { names.join(", ") }
}
