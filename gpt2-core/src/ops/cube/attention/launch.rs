//! What every launch of a kernel here needs.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use cubecl::server::CubeCountSelection;

/// The type of a tensor's numbers, in kernels.
pub(super) fn element(dtype: DType) -> ElemType {
    ElemType::Float(match dtype {
        DType::F16 => FloatKind::F16,
        DType::BF16 => FloatKind::BF16,
        DType::F32 => FloatKind::F32,
        _ => unreachable!("attention is asked for floats of up to 32 bits only, not {dtype:?}"),
    })
}

/// A tensor on the device of another, with nothing written to it yet.
pub(super) fn empty<const D: usize>(
    like: &CubeTensor,
    shape: [usize; D],
    dtype: DType,
) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::new(shape), dtype)
}

/// As many cubes, over as many axes as the device wants; perhaps a few more, which have nothing to do.
pub(super) fn cubes(client: &Client, count: usize) -> CubeCount {
    CubeCountSelection::new(client, count as u32).cube_count()
}

/// The extents of a tensor.
pub(super) fn extents<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.meta.shape()[axis])
}

/// The widest addresses that one of some tensors needs.
pub(super) fn addresses<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    tensors.into_iter().map(CubeTensor::required_address_type).max().unwrap_or_default()
}

/// The tensor, to be written where it lies, or a copy of it where somebody else holds it.
pub(super) fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// Numbers in pairs, `[len, 2]`, on the device of a tensor.
pub(super) fn pairs(like: &CubeTensor, pairs: impl IntoIterator<Item = [usize; 2]>) -> CubeTensor {
    let numbers: Vec<u32> = pairs.into_iter().flatten().map(|number| number as u32).collect();
    let handle = like.client.create_from_slice(u32::as_bytes(&numbers));
    let (client, device) = (like.client.clone(), like.device.clone());
    let shape = Shape::new([numbers.len() / 2, 2]);
    CubeTensor::new_contiguous(client, device, shape, handle, DType::U32)
}
