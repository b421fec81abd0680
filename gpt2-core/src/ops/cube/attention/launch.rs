//! What every launch of a kernel here needs, beside what those of all operations share.

use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

pub(super) use crate::ops::cube::tensors::{cubes, element, empty, owned};

/// The extents of a tensor.
pub(super) fn extents<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.meta.shape()[axis])
}

/// The widest addresses that one of some tensors needs.
pub(super) fn addresses<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    tensors.into_iter().map(CubeTensor::required_address_type).max().unwrap_or_default()
}

/// Numbers in pairs, `[len, 2]`, on the device of a tensor.
pub(super) fn pairs(like: &CubeTensor, pairs: impl IntoIterator<Item = [usize; 2]>) -> CubeTensor {
    let numbers: Vec<u32> = pairs.into_iter().flatten().map(|number| number as u32).collect();
    let handle = like.client.create_from_slice(u32::as_bytes(&numbers));
    let (client, device) = (like.client.clone(), like.device.clone());
    let shape = Shape::new([numbers.len() / 2, 2]);
    CubeTensor::new_contiguous(client, device, shape, handle, DType::U32)
}
