//! The one place that names a backend.

use std::env;

use burn::tensor::Device;

use crate::{Error, Result};

mod adapter;
#[cfg(feature = "cube")]
mod cuda;
mod failure;
#[cfg(feature = "cube")]
mod fusion;
#[cfg(feature = "cube")]
mod gpu;
#[cfg(feature = "wgpu")]
mod graphics;
mod readback;

pub use adapter::{Adapter, AdapterKind};
pub(crate) use failure::of_words;
pub use failure::{Limits, guarded, limits};
pub use readback::Readback;

/// What a device is, for a list that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name that [`by_name`] takes.
    pub name: String,
    /// `cpu`, or the [kind](AdapterKind) of the adapter: `discrete gpu`, `integrated gpu`, `virtual gpu`, `other gpu`,
    /// `software`.
    pub kind: &'static str,
    /// Whether [`best`] is this one.
    pub default: bool,
    /// What computes; `None` for the processor itself.
    pub adapter: Option<Adapter>,
}

/// A name, and how its device is had.
type Host = (&'static str, fn() -> Device);

/// The backends of the processor that are compiled in, best first.
const HOSTS: &[Host] = &[
    #[cfg(feature = "flex")]
    ("flex", Device::flex),
    #[cfg(feature = "ndarray")]
    ("ndarray", ndarray),
];

/// The devices that are compiled in and present, best first.
///
/// Every adapter of the machine is there once for each interface that reaches it: GPUs first, then the processor's own
/// backends, then what only pretends to be a GPU. Names and numbers are the same in every process on the same machine. Listing
/// opens the devices of CUDA, whose names are not to be had otherwise.
#[must_use]
pub fn available() -> Vec<DeviceInfo> {
    let of = |(name, adapter): (String, Adapter)| DeviceInfo {
        name,
        kind: adapter.kind.name(),
        default: false,
        adapter: Some(adapter),
    };
    let (gpus, software): (Vec<_>, Vec<_>) =
        adapters().into_iter().partition(|(_, adapter)| adapter.kind != AdapterKind::Software);
    let hosts = HOSTS.iter().map(|(name, _)| DeviceInfo {
        name: (*name).to_string(),
        kind: "cpu",
        default: false,
        adapter: None,
    });
    let mut list: Vec<_> = gpus.into_iter().map(of).collect();
    list.extend(hosts);
    list.extend(software.into_iter().map(of));
    let best = best_name();
    for info in &mut list {
        info.default = info.name == best;
    }
    list
}

/// The device of a name as `--device` takes it: `flex`, `ndarray`, `cuda`, `wgpu`, `vulkan`, `metal` or `dx12`, those of GPUs
/// with a number where there are several: `cuda:1`.
///
/// `wgpu` is the graphics interface that reaches a GPU here, Vulkan before DirectX 12; the others are that interface or
/// none. A number counts adapters in the order of [`available`], from 0, which is meant where there is none. The device
/// is opened, so that what could go wrong with it goes wrong here.
///
/// # Errors
/// [`Error::Device`] when the backend is not compiled in or has no such adapter; the message lists those that there are.
/// [`Error::Environment`] when `GPT2_SIMD` names instructions that the processor lacks, `GPT2_OPS` is neither
/// `fused` nor `plain`, or, for GPUs, `GPT2_FUSION` is neither `on` nor `off`.
pub fn by_name(name: &str) -> Result<Device> {
    if let Some((name, host)) = HOSTS.iter().find(|(host, _)| *host == name) {
        #[cfg(feature = "flex")]
        if *name == "flex" {
            crate::ops::check_environment()?;
        }
        let _ = name;
        return Ok(host());
    }
    #[cfg(feature = "cube")]
    let reason = match gpu::named(name)? {
        gpu::Named::Device(device) => return Ok(device),
        gpu::Named::Absent(reason) => reason,
    };
    #[cfg(not(feature = "cube"))]
    let reason = "not a device of this build".to_string();
    Err(Error::Device { requested: name.to_string(), reason, available: listed() })
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

/// The best device that is compiled in and present: CUDA, else a GPU of a graphics interface, else `flex`, else
/// `ndarray`. Never a software renderer.
///
/// # Errors
/// [`Error::Device`] when there is none; those of [`by_name`].
pub fn best() -> Result<Device> {
    by_name(&best_name())
}

fn best_name() -> String {
    #[cfg(feature = "cube")]
    if let Some(name) = gpu::best() {
        return name;
    }
    HOSTS.first().map_or("default", |(name, _)| name).to_string()
}

/// The name that [`by_name`] takes for a device, training device or not; `None` for one that is not
/// in the list.
#[must_use]
pub fn name(device: &Device) -> Option<String> {
    #[cfg(feature = "cube")]
    if let Some(name) = gpu::name(device) {
        return Some(name);
    }
    let host = HOSTS.iter().find(|(_, host)| host() == *device);
    host.map(|(name, _)| (*name).to_string())
}

/// Whether tensors of this device, training device or not, are in the host's memory and computed by the backends of
/// the processor.
#[must_use]
pub fn is_cpu(device: &Device) -> bool {
    HOSTS.iter().any(|(_, host)| host() == *device)
}

/// Whether this device, training device or not, is one of CUDA or a graphics interface, a software renderer among them.
#[must_use]
pub fn is_gpu(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    return gpu::device(device).is_some();
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// Whether it is `flex`, training device or not.
pub(crate) fn is_flex(device: &Device) -> bool {
    HOSTS.iter().any(|(name, host)| *name == "flex" && host() == *device)
}

/// What computes for this device, training device or not; `None` for the processor's own backends, and for a device that
/// did not come from [`by_name`].
#[must_use]
pub fn adapter(device: &Device) -> Option<Adapter> {
    #[cfg(feature = "cube")]
    return gpu::adapter(device);
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        None
    }
}

/// The devices that test suites run on: the one that `GPT2_TEST_DEVICE` names, else all backends of the processor.
///
/// # Panics
/// If there is no such device: a suite that was asked for one must not run on another.
#[doc(hidden)]
#[must_use]
pub fn test_devices() -> Vec<(String, Device)> {
    match env::var("GPT2_TEST_DEVICE") {
        Ok(name) => {
            let device = by_name(&name).unwrap_or_else(|error| panic!("GPT2_TEST_DEVICE: {error}"));
            vec![(name, device)]
        }
        Err(_) => HOSTS.iter().map(|(name, host)| ((*name).to_string(), host())).collect(),
    }
}

/// The first of [`test_devices`]: for claims that one device is enough for.
///
/// # Panics
/// As [`test_devices`] does, and if no backend is compiled in.
#[doc(hidden)]
#[must_use]
pub fn test_device() -> Device {
    let first = test_devices().into_iter().next();
    first.expect("a backend is compiled in").1
}

/// All adapters with their names, discrete GPUs first among those of an interface.
fn adapters() -> Vec<(String, Adapter)> {
    #[cfg(feature = "cube")]
    return gpu::adapters();
    #[cfg(not(feature = "cube"))]
    Vec::new()
}

/// `Device::ndarray` is deprecated upstream; the backend is kept as a second opinion on numbers.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

/// The devices that there are, for a message.
fn listed() -> String {
    let names: Vec<_> = available()
        .into_iter()
        .map(|info| match info.adapter {
            Some(adapter) => format!("{} ({adapter})", info.name),
            None => info.name,
        })
        .collect();
    if names.is_empty() { "no backend".to_string() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_device_opens_and_knows_its_name() {
        for info in available() {
            let device = by_name(&info.name).unwrap();
            assert_eq!(name(&device), Some(info.name.clone()));
            assert_eq!(name(&device.clone().autodiff()), Some(info.name));
            assert_eq!(adapter(&device), info.adapter);
            assert_eq!(
                (is_cpu(&device), is_gpu(&device)),
                (info.kind == "cpu", info.kind != "cpu")
            );
        }
    }

    #[test]
    fn the_default_is_one_that_is_no_software_renderer() {
        let defaults: Vec<_> = available().into_iter().filter(|info| info.default).collect();
        let [default] = &defaults[..] else { panic!("{defaults:?}") };
        assert_ne!(default.kind, AdapterKind::Software.name());
        assert_eq!(name(&best().unwrap()), Some(default.name.clone()));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_lists_what_is() {
        let hosts = HOSTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let other = [
            "",
            "abacus",
            "flex:0",
            "cuda:4000",
            "wgpu:",
            "wgpu:x",
            "wgpu:-1",
            "vulkan:70000",
            "Wgpu",
        ];
        for name in other {
            let error = by_name(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("device `{name}` is not available: ")), "{error}");
            assert!(error.contains(&hosts), "{error}");
            for (name, adapter) in adapters() {
                assert!(error.contains(&format!("{name} ({adapter})")), "{error}");
            }
        }
    }
}
