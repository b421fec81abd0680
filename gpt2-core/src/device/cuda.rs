//! NVIDIA's cards through their own interface.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use cubecl::Device as CubeDevice;
use cubecl::device::{CudaDevice, DeviceUnavailable};

use super::{Adapter, AdapterKind};

/// How many cards there are; `None` in a build without CUDA. A machine without NVIDIA's driver has none.
pub(super) fn count() -> Option<usize> {
    static COUNT: OnceLock<Option<usize>> = OnceLock::new();
    // The runtime tells how many there are when it is asked for one that no machine has.
    *COUNT.get_or_init(|| match CubeDevice::cuda(usize::from(u16::MAX)) {
        Ok(_) => Some(usize::from(u16::MAX) + 1),
        Err(DeviceUnavailable::NoSuchDevice { available, .. }) => Some(available),
        Err(DeviceUnavailable::NotLinked(_)) => None,
    })
}

/// The card of a number, which is opened for it; what keeps it from being opened is the error.
pub(super) fn open(number: usize) -> Result<(CubeDevice, Adapter), String> {
    let device = CubeDevice::Cuda(CudaDevice::new(number));
    // The runtime takes a card that it cannot open for a bug.
    let name = catch_unwind(|| device.client().properties().identity.name.clone());
    let name = name.map_err(|_| "the driver does not open it".to_string())?;
    let adapter = Adapter { name, kind: AdapterKind::Discrete, api: "cuda", driver: String::new() };
    Ok((device, adapter))
}
