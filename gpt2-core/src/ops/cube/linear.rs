//! Matrix products, by the framework's own kernels, which it times for every size of matrix once and then keeps the best of.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

#[cfg(feature = "cuda")]
use super::exact;
use super::tensors::{empty, matrix};
#[cfg(feature = "cuda")]
use crate::ops::{Float32MatmulPrecision, float32_matmul_precision};

/// `x @ weight`, over the last axis of `x`, in the element type of the weight.
pub(super) fn product(x: CubeTensor, weight: CubeTensor) -> CubeTensor {
    let (mut shape, dtype) = (x.shape(), weight.dtype);
    let last = shape.num_dims() - 1;
    shape[last] = weight.shape()[1];
    CubeBackend::float_reshape(multiply(rows_of(x), weight, dtype), shape)
}

/// `x @ table^T`, over the last axis of `x`, in the element type of the table.
pub(super) fn scores(x: CubeTensor, table: CubeTensor) -> CubeTensor {
    product(x, transposed(table))
}

/// `x^T @ upstream`, over all axes but the last, in `f32`: it is added to others.
pub(super) fn weight_gradient(x: CubeTensor, upstream: CubeTensor) -> CubeTensor {
    multiply(transposed(rows_of(x)), rows_of(upstream), DType::F32)
}

/// A tensor as a matrix whose columns are its last axis.
fn rows_of(x: CubeTensor) -> CubeTensor {
    let shape = matrix(&x);
    CubeBackend::float_reshape(x, shape.into())
}

/// The product of two matrices, whose sums are made in `f32`, in the element type `dtype`. Factors of `f32` are not rounded
/// unless that is asked for.
///
/// # Panics
/// If there is no kernel for it, which is a fault of the device: every device has the plainest one.
pub(super) fn multiply(left: CubeTensor, right: CubeTensor, dtype: DType) -> CubeTensor {
    let shape = [left.shape()[0], right.shape()[1]];
    // Of CUDA's allocator rows may be padded, which the kernels behind a product do not expect.
    let output = empty(&left, shape, dtype);
    #[cfg(feature = "cuda")]
    if [&left, &right].iter().all(|factor| factor.dtype == DType::F32)
        && float32_matmul_precision() == Float32MatmulPrecision::Highest
        && exact::would_round(&output.client)
    {
        exact::multiply(left, right, output.clone());
        return output;
    }
    matmul(left, right, Some(output), MatmulStrategy::default(), dtype)
        .unwrap_or_else(|error| panic!("no kernel for this product: {error:?}"))
}

/// A matrix whose rows are the columns of another, without a copy.
pub(super) fn transposed(x: CubeTensor) -> CubeTensor {
    CubeBackend::float_swap_dims(x, 0, 1)
}
