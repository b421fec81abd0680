//! Adapters of graphics interfaces, in the order that their numbers have.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use cubecl::device::{WgpuBackend, WgpuDevice, WgpuDeviceKind};
use cubecl::wgpu::wgpu::{self, Backend, DeviceType, Instance, InstanceDescriptor};
use cubecl::wgpu::{AutoGraphicsApi, RuntimeOptions, WgpuInitError, try_init_setup};

use super::{Adapter, AdapterKind};

/// An adapter, and the device that stands for it.
#[derive(Debug, Clone)]
pub(super) struct Graphics {
    pub adapter: Adapter,
    /// Always with its interface: one that is left to the runtime may be another one than the one listed.
    pub device: WgpuDevice,
}

/// The interfaces that are asked, best first. OpenGL is none of them: its kernels may bind too few buffers.
const INTERFACES: [(&str, Backend, WgpuBackend); 3] = [
    ("vulkan", Backend::Vulkan, WgpuBackend::Vulkan),
    ("metal", Backend::Metal, WgpuBackend::Metal),
    ("dx12", Backend::Dx12, WgpuBackend::Dx12),
];

/// All adapters, those of one interface together and the best of each first.
///
/// The machine is asked once per process, which is a few milliseconds where there is a driver. One that comes later is not seen.
pub(super) fn all() -> &'static [Graphics] {
    static ALL: OnceLock<Vec<Graphics>> = OnceLock::new();
    ALL.get_or_init(|| {
        let compiled = |api: &Backend| Instance::enabled_backend_features().contains((*api).into());
        let interfaces = INTERFACES.into_iter().filter(|(_, api, _)| compiled(api));
        interfaces.flat_map(|(name, api, pin)| of(name, api, pin)).collect()
    })
}

/// Whether this system has a file for a GPU, or is none where that would tell.
///
/// On a machine without one, asking Vulkan would load the software renderer for nothing: tens of megabytes.
pub(super) fn may_reach_a_gpu() -> bool {
    let files = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0"];
    !cfg!(target_os = "linux") || files.iter().any(|file| Path::new(file).exists())
}

/// The name of the interface that `wgpu` stands for: the first that reaches a GPU, or else anything.
pub(super) fn preferred() -> Option<&'static str> {
    let is_gpu = |found: &&Graphics| found.adapter.kind != AdapterKind::Software;
    let found = all().iter().find(is_gpu).or(all().first());
    found.map(|found| found.adapter.api)
}

/// The adapters of one interface, by its name.
pub(super) fn of_interface(name: &str) -> Vec<&'static Graphics> {
    all().iter().filter(|found| found.adapter.api == name).collect()
}

/// Whether this is the name of an interface.
pub(super) fn is_interface(name: &str) -> bool {
    INTERFACES.iter().any(|(interface, ..)| *interface == name)
}

/// Acquires the device and starts its runtime, unless that has been done.
pub(super) fn open(device: &WgpuDevice) -> Result<(), String> {
    static OPEN: Mutex<Vec<WgpuDevice>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !open.contains(device) {
        let options = RuntimeOptions::try_default().map_err(|error| error.to_string())?;
        match try_init_setup::<AutoGraphicsApi>(device, options) {
            // A program may have opened it through `burn`.
            Ok(_) | Err(WgpuInitError::Registration { .. }) => open.push(device.clone()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

fn of(name: &'static str, api: Backend, pin: WgpuBackend) -> Vec<Graphics> {
    let instance = Instance::new(InstanceDescriptor {
        backends: api.into(),
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(api.into()));
    let mut counts = [0; 5];
    let numbered = adapters.iter().filter_map(|adapter| {
        let info = adapter.get_info();
        let kind = kind(info.device_type);
        let number = counts[kind as usize];
        counts[kind as usize] += 1;
        let device = WgpuDevice::new(device_kind(kind, number)?).on(pin);
        Some(Graphics { adapter: described(info, kind, name), device })
    });
    let mut found: Vec<_> = numbered.collect();
    // Stable: adapters of one kind stay in the order of the driver, in which the runtime counts them, too.
    found.sort_by_key(|found| found.adapter.kind);
    found
}

/// The runtime's name for the adapter; it counts each kind by itself, and knows one software renderer only.
fn device_kind(kind: AdapterKind, number: usize) -> Option<WgpuDeviceKind> {
    match kind {
        AdapterKind::Discrete => Some(WgpuDeviceKind::DiscreteGpu(number)),
        AdapterKind::Integrated => Some(WgpuDeviceKind::IntegratedGpu(number)),
        AdapterKind::Virtual => Some(WgpuDeviceKind::VirtualGpu(number)),
        AdapterKind::Other => Some(WgpuDeviceKind::Other(number)),
        AdapterKind::Software => (number == 0).then_some(WgpuDeviceKind::Cpu),
    }
}

const fn kind(of: DeviceType) -> AdapterKind {
    match of {
        DeviceType::DiscreteGpu => AdapterKind::Discrete,
        DeviceType::IntegratedGpu => AdapterKind::Integrated,
        DeviceType::VirtualGpu => AdapterKind::Virtual,
        DeviceType::Cpu => AdapterKind::Software,
        DeviceType::Other => AdapterKind::Other,
    }
}

fn described(info: wgpu::AdapterInfo, kind: AdapterKind, api: &'static str) -> Adapter {
    let driver = [info.driver, info.driver_info].join(" ").trim().to_string();
    Adapter { name: info.name, kind, api, driver }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runtime's own words for what it has opened.
    #[test]
    fn a_number_opens_the_adapter_that_is_listed_there() {
        for found in all() {
            open(&found.device).unwrap();
            let client = cubecl::Device::Wgpu(found.device.clone()).client();
            assert_eq!(client.properties().identity.name, found.adapter.name);
        }
    }

    #[test]
    fn better_adapters_of_an_interface_come_first() {
        for (name, ..) in INTERFACES {
            assert!(of_interface(name).is_sorted_by_key(|found| found.adapter.kind));
        }
    }
}
