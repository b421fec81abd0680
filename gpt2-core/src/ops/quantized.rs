//! Products with weights in fewer bits, and look-ups in them.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};

use super::activation::activate;
use super::fused;
use crate::config::Activation;
use crate::device;
use crate::quantize::CompactMatrix;

/// The products, on tensors as a backend holds them. Nothing is recorded.
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait QuantizedOps: Backend {
    /// `x @ weight + bias`.
    fn quantized_linear(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: CompactMatrix,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ weight + bias)`, of the tanh form.
    fn quantized_gelu(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: CompactMatrix,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias + residual`.
    fn quantized_residual(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: CompactMatrix,
    ) -> FloatTensor<Self>;

    /// `x @ table^T`.
    fn quantized_scores(x: FloatTensor<Self>, table: CompactMatrix) -> FloatTensor<Self>;

    /// Summed cross-entropy of `hidden @ table^T`, and the number of hits.
    fn quantized_cross_entropy(
        hidden: FloatTensor<Self>,
        targets: IntTensor<Self>,
        table: CompactMatrix,
    ) -> (FloatTensor<Self>, IntTensor<Self>);
}

/// Whether there are products of this tensor with quantized weights: for `f32` on `flex`, without gradients.
#[must_use]
pub fn takes_quantized<const D: usize>(x: &Tensor<D>) -> bool {
    fused::is_ours(x) && device::is_flex(&x.device()) && !x.is_autodiff()
}

/// `x @ weight + bias` with a quantized weight, `[in, out]`.
///
/// Where the weight is of whole numbers, `x` is quantized too, to 8 bits with a scale for each row and group of the
/// weight, and sums within a group are exact. A weight in bf16 is computed with in f32.
///
/// # Shapes
/// - x: `[.., in]`
/// - bias: `[out]`
/// - output: `[.., out]`
///
/// # Panics
/// If [`takes_quantized`] says no, as for the other products here.
#[must_use]
pub fn quantized_linear<const D: usize>(
    x: Tensor<D>,
    weight: &CompactMatrix,
    bias: Tensor<1>,
) -> Tensor<D> {
    let (x, bias) = (x.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as QuantizedOps>::quantized_linear(x, bias, weight.clone()))
}

/// `activation(x @ weight + bias)` with a quantized weight.
///
/// # Shapes
/// As [`quantized_linear`].
///
/// # Panics
/// As there.
#[must_use]
pub fn quantized_linear_activated<const D: usize>(
    x: Tensor<D>,
    weight: &CompactMatrix,
    bias: Tensor<1>,
    function: Activation,
) -> Tensor<D> {
    if !function.is_gelu_tanh() {
        return activate(quantized_linear(x, weight, bias), function);
    }
    let (x, bias) = (x.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as QuantizedOps>::quantized_gelu(x, bias, weight.clone()))
}

/// `x @ weight + bias + residual` with a quantized weight.
///
/// # Shapes
/// As [`quantized_linear`]; residual: `[.., out]`
///
/// # Panics
/// As there.
#[must_use]
pub fn quantized_linear_residual<const D: usize>(
    x: Tensor<D>,
    weight: &CompactMatrix,
    bias: Tensor<1>,
    residual: Tensor<D>,
) -> Tensor<D> {
    let ([x, residual], weight) = ([x, residual].map(Tensor::into_dispatch), weight.clone());
    let bias = bias.into_dispatch();
    let output = <Dispatch as QuantizedOps>::quantized_residual(x, bias, residual, weight);
    Tensor::from_dispatch(output)
}

/// `x @ table^T` with a quantized table, `[vocab, embd]`.
///
/// # Shapes
/// - x: `[.., embd]`
/// - output: `[.., vocab]`
///
/// # Panics
/// As [`quantized_linear`].
#[must_use]
pub fn quantized_scores<const D: usize>(x: Tensor<D>, table: &CompactMatrix) -> Tensor<D> {
    let output = <Dispatch as QuantizedOps>::quantized_scores(x.into_dispatch(), table.clone());
    Tensor::from_dispatch(output)
}

/// [`cross_entropy`](super::cross_entropy) of the [`quantized_scores`] of `hidden`, and their
/// [`token_accuracy`](super::token_accuracy). The scores of all rows never exist together.
///
/// # Shapes
/// - hidden: `[rows, embd]`
/// - targets: `[rows]`, each in `0..vocab`
/// - both outputs: `[1]`
///
/// # Panics
/// As [`quantized_linear`].
#[must_use]
pub fn quantized_cross_entropy(
    hidden: Tensor<2>,
    table: &CompactMatrix,
    targets: Tensor<1, Int>,
) -> (Tensor<1>, Tensor<1, Int>) {
    let (hidden, targets) = (hidden.into_dispatch(), targets.into_dispatch());
    let (loss, hits) =
        <Dispatch as QuantizedOps>::quantized_cross_entropy(hidden, targets, table.clone());
    (Tensor::from_dispatch(loss), Tensor::from_dispatch(hits))
}

/// Rows of a quantized table, `[vocab, embd]`, on any backend.
///
/// # Shapes
/// - ids: `[batch, seq]`
/// - output: `[batch, seq, embd]`
///
/// # Panics
/// If an id is not a row of the table.
#[must_use]
pub fn quantized_rows(table: &CompactMatrix, ids: &Tensor<2, Int>) -> Tensor<3> {
    let ([rows, embd], [batch, seq]) = (table.shape(), ids.dims());
    let mut values = Vec::with_capacity(batch * seq * embd);
    for id in ids.to_data().iter::<i64>() {
        let row = usize::try_from(id).ok().filter(|&row| row < rows);
        table.extend_with_column(&mut values, row.expect("an id is a row of the table"));
    }
    Tensor::from_data(TensorData::new(values, [batch, seq, embd]), &ids.device())
}
