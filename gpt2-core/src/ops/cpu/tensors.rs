//! From the tensors of `flex` to slices and back.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::attention::decode;
use super::gemm::Matrix;
use super::memory::Buffer;

/// Extents of a cache, for `seq` new tokens.
pub(super) fn extents(cached: &FlexTensor, seq: usize) -> decode::Shape {
    let extent = |axis| extent(cached, axis);
    decode::Shape { heads: extent(1), capacity: extent(2), head_dim: extent(3), seq }
}

pub(super) fn extent(tensor: &FlexTensor, axis: usize) -> usize {
    tensor.layout().shape()[axis]
}

pub(super) fn last_extent(tensor: &FlexTensor) -> usize {
    extent(tensor, tensor.layout().num_dims() - 1)
}

/// A contiguous tensor as a matrix, whose columns are the last axis.
pub(super) fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let columns = last_extent(tensor);
    Matrix::new(floats(tensor), tensor.layout().num_elements() / columns, columns)
}

pub(super) fn contiguous<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    tensors.map(|tensor| match tensor.as_slice::<f32>() {
        Some(_) => tensor,
        None => tensor.to_contiguous(),
    })
}

/// The numbers of a contiguous tensor.
pub(super) fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor is contiguous and of f32, as its caller has seen to")
}

/// The numbers of a tensor that nobody else holds, where it is contiguous.
pub(super) fn own(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let (start, end) = tensor.layout().contiguous_offsets()?;
    Some(&mut tensor.try_storage_mut()?[start..end])
}

/// The numbers of a tensor, to be changed: where they lie if they lie in order and nobody else holds
/// them, else of a copy.
pub(super) fn floats_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    if tensor.as_slice::<f32>().is_none() {
        *tensor = tensor.to_contiguous();
    }
    match tensor.layout().contiguous_offsets() {
        Some((start, end)) => &mut tensor.storage_mut()[start..end],
        None => unreachable!("the tensor was made contiguous"),
    }
}

/// The tensor in memory of its own.
pub(super) fn copied(tensor: &FlexTensor) -> FlexTensor {
    let [tensor] = contiguous([tensor.clone()]);
    let mut copy = Buffer::new(tensor.layout().num_elements());
    copy.copy_from_slice(floats(&tensor));
    like(&tensor, copy)
}

/// Indices of whatever integer type.
pub(super) fn indices(tensor: &FlexTensor) -> Vec<usize> {
    tensor.clone().into_data().iter::<i64>().map(|index| index as usize).collect()
}

/// Product of all axes but the last, and those axes with another last one.
pub(super) fn with_columns(x: &FlexTensor, columns: usize) -> (usize, Vec<usize>) {
    let mut axes = x.layout().shape().to_vec();
    axes.pop();
    let rows = axes.iter().product();
    axes.push(columns);
    (rows, axes)
}

/// A tensor of the shape of another.
pub(super) fn like(tensor: &FlexTensor, values: Buffer) -> FlexTensor {
    values.into_tensor(tensor.layout().shape().clone())
}

pub(super) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
