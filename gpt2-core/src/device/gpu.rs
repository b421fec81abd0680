//! GPUs by their names.

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use cubecl::Device as CubeDevice;

#[cfg(feature = "wgpu")]
use super::AdapterKind;
#[cfg(feature = "wgpu")]
use super::graphics;
use super::{Adapter, Limits, cuda, fusion};
use crate::Result;

/// What a name stands for.
pub(super) enum Named {
    /// A device, opened.
    Device(Device),
    /// Nothing, and why.
    Absent(String),
}

/// All adapters with the names of their devices.
pub(super) fn adapters() -> Vec<(String, Adapter)> {
    let cards = (0..cuda::count().unwrap_or(0)).filter_map(|number| {
        let (_, adapter) = cuda::open(number).ok()?;
        Some((numbered("cuda", number), adapter))
    });
    #[allow(unused_mut, reason = "there are no others without wgpu")]
    let mut adapters: Vec<_> = cards.collect();
    #[cfg(feature = "wgpu")]
    adapters.extend(
        graphics::all()
            .iter()
            .filter_map(|found| Some((graphics_name(&found.device)?, found.adapter.clone()))),
    );
    adapters
}

/// The name of the best GPU, where there is one.
pub(super) fn best() -> Option<String> {
    if cuda::count().is_some_and(|count| count > 0) {
        return Some(numbered("cuda", 0));
    }
    best_of_graphics()
}

#[cfg(feature = "wgpu")]
fn best_of_graphics() -> Option<String> {
    if !graphics::may_reach_a_gpu() {
        return None;
    }
    let first = graphics::of_interface(graphics::preferred()?).into_iter().next()?;
    (first.adapter.kind != AdapterKind::Software).then(|| numbered("wgpu", 0))
}

#[cfg(not(feature = "wgpu"))]
fn best_of_graphics() -> Option<String> {
    None
}

/// Opens the device of a name.
///
/// # Errors
/// [`Error::Environment`](crate::Error::Environment) where the environment asks for what there is not.
pub(super) fn named(name: &str) -> Result<Named> {
    let (family, number) = match name.split_once(':') {
        Some((family, digits)) => match number(digits) {
            Some(number) => (family, number),
            None => {
                return Ok(Named::Absent(format!("`{digits}` is not the number of an adapter")));
            }
        },
        None => (name, 0),
    };
    #[cfg(feature = "flex")]
    crate::ops::check_environment()?;
    fusion::apply()?;
    let found = match family {
        "cuda" => card(number),
        #[cfg(feature = "wgpu")]
        _ if family == "wgpu" || graphics::is_interface(family) => adapter_of(family, number),
        _ => Err("not a device of this build".to_string()),
    };
    Ok(found.map_or_else(Named::Absent, |device| Named::Device(Device::from(device))))
}

/// The name of a GPU that is listed.
pub(super) fn name(device: &Device) -> Option<String> {
    match self::device(device)? {
        CubeDevice::Cuda(card) => Some(numbered("cuda", card.index)),
        #[cfg(feature = "wgpu")]
        CubeDevice::Wgpu(device) => graphics_name(&device),
        _ => None,
    }
}

/// The adapter of a GPU that is listed.
pub(super) fn adapter(device: &Device) -> Option<Adapter> {
    match self::device(device)? {
        CubeDevice::Cuda(card) => cuda::open(card.index).ok().map(|(_, adapter)| adapter),
        #[cfg(feature = "wgpu")]
        CubeDevice::Wgpu(device) => {
            let found = graphics::all().iter().find(|found| found.device == device);
            found.map(|found| found.adapter.clone())
        }
        _ => None,
    }
}

/// The device as its runtime knows it, where it is a GPU.
pub(super) fn device(device: &Device) -> Option<CubeDevice> {
    match device.as_dispatch().clone().inner() {
        DispatchDevice::Cube(device) => Some(device),
        _ => None,
    }
}

/// What a GPU takes, which is opened for it.
pub(super) fn limits(device: &Device) -> Option<Limits> {
    let client = self::device(device)?.client();
    let memory = &client.properties().memory;
    Some(Limits { largest_tensor: memory.max_page_size, memory: memory.max_memory() })
}

fn card(number: usize) -> Result<CubeDevice, String> {
    match cuda::count() {
        None => Err("this build is without the feature `cuda`".to_string()),
        Some(count) if number >= count => Err(too_few(count, "card", "CUDA")),
        Some(_) => cuda::open(number).map(|(device, _)| device),
    }
}

/// The adapter of a number in a graphics interface.
#[cfg(feature = "wgpu")]
fn adapter_of(family: &str, number: usize) -> Result<CubeDevice, String> {
    let interface = if family == "wgpu" { graphics::preferred() } else { Some(family) };
    let adapters = interface.map(graphics::of_interface).unwrap_or_default();
    let found = adapters
        .get(number)
        .ok_or_else(|| too_few(adapters.len(), "adapter", interface.unwrap_or(family)))?;
    graphics::open(&found.device)?;
    Ok(CubeDevice::Wgpu(found.device.clone()))
}

/// The name of an adapter: `wgpu` where that is its interface.
#[cfg(feature = "wgpu")]
fn graphics_name(device: &cubecl::device::WgpuDevice) -> Option<String> {
    let found = graphics::all().iter().find(|found| found.device == *device)?;
    let api = found.adapter.api;
    let number = graphics::of_interface(api).iter().position(|other| other.device == *device)?;
    let family = if graphics::preferred() == Some(api) { "wgpu" } else { api };
    Some(numbered(family, number))
}

fn too_few(count: usize, what: &str, of: &str) -> String {
    match count {
        0 => format!("{of} has no {what}s here"),
        1 => format!("{of} has 1 {what} here, number 0"),
        _ => format!("{of} has {count} {what}s here, counted from 0"),
    }
}

/// The first of a family needs no number.
fn numbered(family: &str, number: usize) -> String {
    if number == 0 { family.to_string() } else { format!("{family}:{number}") }
}

fn number(digits: &str) -> Option<usize> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}
