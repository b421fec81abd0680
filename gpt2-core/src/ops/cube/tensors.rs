//! What the kernels of this folder share: tensors as matrices, outputs, and the sizes of launches.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::client::Client;
use cubecl::ir::{ElemType, VectorSize};
use cubecl::prelude::{BufferArg, CubeCount, CubeDim};
use cubecl::server::CubeCountSelection;

/// Rows and columns of a tensor seen as a matrix whose columns are its last axis.
pub(super) fn matrix(x: &CubeTensor) -> [usize; 2] {
    let columns = x.meta.shape().last().copied().unwrap_or(1);
    [x.meta.num_elements() / columns.max(1), columns]
}

/// The type of a tensor's elements, as kernels are told it.
pub(super) fn element(x: &CubeTensor) -> ElemType {
    dtype_to_storage_type(x.dtype)
}

/// A contiguous tensor on the device of another one, with anything in it.
///
/// Never with padded rows, as the allocator of CUDA gives them where it is not told otherwise.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// As [`empty`], of zeros.
pub(super) fn zeros(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    // One axis has no rows that could be padded.
    let flat = Shape::new([shape.num_elements()]);
    let (client, device) = (like.client.clone(), like.device.clone());
    let zeros = zeros_client(client.clone(), device.clone(), flat, dtype);
    CubeTensor::new_contiguous(client, device, shape, zeros.handle, dtype)
}

/// An output of the shape of `x` and of a type: where `x` lies if it has no other owner and is of that type. The launch
/// must then have `x` as its input number `position`.
pub(super) fn output(x: &CubeTensor, position: usize, dtype: DType) -> (CubeTensor, BufferArg) {
    if x.dtype == dtype && x.can_mut() {
        return (x.clone(), BufferArg::alias(position, x.meta.num_elements()));
    }
    let output = empty(x, x.meta.shape().clone(), dtype);
    (output.clone(), output.into_buffer_arg())
}

/// A contiguous tensor of the same values that may be written: `x` itself if it has no other owner.
pub(super) fn owned(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    if x.can_mut() {
        return x;
    }
    let (client, device, dtype) = (x.client.clone(), x.device.clone(), x.dtype);
    let element = element(&x);
    let copy = cubecl::std::tensor::into_contiguous(&client, x.binding(), element);
    CubeTensor::new(client, copy.handle, *copy.metadata, device, dtype)
}

/// How many elements a unit reads at a time: the most that divides `length` and that the device reads at once of each
/// of the tensors.
pub(super) fn vector_size(tensors: &[&CubeTensor], length: usize) -> VectorSize {
    let widest = |x: &&CubeTensor| {
        let sizes = x.client.io_optimized_vector_sizes(x.dtype.size());
        sizes.filter(|size| length.is_multiple_of(*size)).max()
    };
    tensors.iter().filter_map(widest).min().unwrap_or(1)
}

/// A launch in which a unit does one vector.
pub(super) struct Sweep {
    /// Elements of a vector.
    pub width: VectorSize,
    /// Vectors, of which the kernel must be told: there may be more units.
    pub vectors: usize,
    pub count: CubeCount,
    pub dim: CubeDim,
}

/// A launch over all elements of the first tensor, whose vectors lie within runs of `length` of them in each of the tensors.
pub(super) fn sweep(tensors: &[&CubeTensor], length: usize) -> Sweep {
    let width = vector_size(tensors, length);
    let vectors = tensors[0].meta.num_elements() / width;
    let (count, dim) = units(&tensors[0].client, vectors);
    Sweep { width, vectors, count, dim }
}

/// A launch with a unit for each of `items`, and perhaps some more.
pub(super) fn units(client: &Client, items: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, items);
    (calculate_cube_count_elemwise(client, items, dim), dim)
}

/// A launch of `count` cubes, and perhaps some more, over as many axes as the device's limits ask for.
pub(super) fn cubes(client: &Client, count: usize) -> CubeCount {
    CubeCountSelection::new(client, count as u32).cube_count()
}

/// Cubes that keep the whole device busy, for kernels that can divide their work as they like.
pub(super) fn busy(client: &Client) -> usize {
    /// Cubes of a multiprocessor, and multiprocessors where the device does not tell.
    const CUBES: usize = 2;
    const MULTIPROCESSORS: usize = 48;
    let multiprocessors = client.properties().hardware.num_streaming_multiprocessors;
    CUBES * multiprocessors.map_or(MULTIPROCESSORS, |count| count as usize)
}

/// Bytes of the largest buffer that a kernel of a device can be given.
pub(super) fn binding_limit(client: &Client) -> usize {
    usize::try_from(client.properties().memory.max_page_size).unwrap_or(usize::MAX)
}
