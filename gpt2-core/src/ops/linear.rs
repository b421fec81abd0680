//! Matrix products with weights.

use burn::tensor::{Tensor, module};

/// `x @ weight + bias`, in the element type of the weight.
///
/// # Shapes
/// - x: `[.., in]`
/// - weight: `[in, out]`
/// - bias: `[out]`
/// - output: `[.., out]`
#[must_use]
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(output) = super::cpu::linear(&x, &weight, &bias) {
        return output;
    }
    module::linear(x.cast(weight.dtype()), weight, Some(bias))
}

/// `x @ weight^T`: a score of each row for each vector of a table, in the element type of the table.
///
/// # Shapes
/// - x: `[.., embd]`
/// - table: `[vocab, embd]`
/// - output: `[.., vocab]`
#[must_use]
pub fn scores<const D: usize>(x: Tensor<D>, table: Tensor<2>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(output) = super::cpu::transposed(&x, &table) {
        return output;
    }
    let [vocab, embd] = table.dims();
    let mut shape = x.dims();
    let rows = shape[..D - 1].iter().product::<usize>();
    shape[D - 1] = vocab;
    // Two axes on either side: with more, the transposed table would be copied for each call.
    x.cast(table.dtype()).reshape([rows, embd]).matmul(table.transpose()).reshape(shape)
}
