//! Products with weights in fewer bits, and look-ups in them.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::activation::activate;
use super::compact_weight::CompactWeight;
use super::fused;
#[cfg(feature = "cube")]
use super::words::Then;
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

/// Whether there are products of this tensor with a weight in fewer bits: of `f32` on `flex`, and on a GPU where the depth
/// makes whole words; without gradients.
#[must_use]
pub fn takes_quantized<const D: usize>(x: &Tensor<D>, weight: &CompactWeight) -> bool {
    x.dtype() == DType::F32
        && fused::is_ours(x)
        && !x.is_autodiff()
        && (device::is_flex(&x.device()) || makes_words(weight))
}

#[cfg(feature = "cube")]
fn makes_words(weight: &CompactWeight) -> bool {
    weight.matrix().word_shape().is_whole()
}

#[cfg(not(feature = "cube"))]
fn makes_words(_: &CompactWeight) -> bool {
    false
}

/// `x @ weight + bias` with a quantized weight, `[in, out]`.
///
/// On `flex`, where the weight is of whole numbers, `x` is quantized too, to 8 bits with a scale for each row and group
/// of the weight, and sums within a group are exact. A weight in bf16 is computed with in f32, as is every weight
/// on a GPU.
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
    weight: &CompactWeight,
    bias: Tensor<1>,
) -> Tensor<D> {
    #[cfg(feature = "cube")]
    if device::is_gpu(&x.device()) {
        return weight.on(&x.device()).product(x, Then::Bias(bias));
    }
    let (x, bias, weight) = (x.into_dispatch(), bias.into_dispatch(), weight.matrix().clone());
    Tensor::from_dispatch(<Dispatch as QuantizedOps>::quantized_linear(x, bias, weight))
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
    weight: &CompactWeight,
    bias: Tensor<1>,
    function: Activation,
) -> Tensor<D> {
    if !function.is_gelu_tanh() {
        return activate(quantized_linear(x, weight, bias), function);
    }
    #[cfg(feature = "cube")]
    if device::is_gpu(&x.device()) {
        return weight.on(&x.device()).product(x, Then::BiasGelu(bias));
    }
    let (x, bias, weight) = (x.into_dispatch(), bias.into_dispatch(), weight.matrix().clone());
    Tensor::from_dispatch(<Dispatch as QuantizedOps>::quantized_gelu(x, bias, weight))
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
    weight: &CompactWeight,
    bias: Tensor<1>,
    residual: Tensor<D>,
) -> Tensor<D> {
    #[cfg(feature = "cube")]
    if device::is_gpu(&x.device()) {
        return weight.on(&x.device()).product(x, Then::BiasResidual(bias, residual));
    }
    let [x, residual] = [x, residual].map(Tensor::into_dispatch);
    let (bias, weight) = (bias.into_dispatch(), weight.matrix().clone());
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
pub fn quantized_scores<const D: usize>(x: Tensor<D>, table: &CompactWeight) -> Tensor<D> {
    #[cfg(feature = "cube")]
    if device::is_gpu(&x.device()) {
        return table.on(&x.device()).product(x, Then::Nothing);
    }
    let (x, table) = (x.into_dispatch(), table.matrix().clone());
    Tensor::from_dispatch(<Dispatch as QuantizedOps>::quantized_scores(x, table))
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
    table: &CompactWeight,
    targets: Tensor<1, Int>,
) -> (Tensor<1>, Tensor<1, Int>) {
    #[cfg(feature = "cube")]
    if device::is_gpu(&hidden.device()) {
        // Many rows: the table is read as floats, for as long as that takes.
        let table = table.on(&hidden.device()).table();
        return super::linear_cross_entropy_and_hits(hidden, table, targets);
    }
    let (hidden, targets) = (hidden.into_dispatch(), targets.into_dispatch());
    let table = table.matrix().clone();
    let (loss, hits) = <Dispatch as QuantizedOps>::quantized_cross_entropy(hidden, targets, table);
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
pub fn quantized_rows(table: &CompactWeight, ids: Tensor<2, Int>) -> Tensor<3> {
    #[cfg(feature = "cube")]
    if device::is_gpu(&ids.device()) && fused::are_on() && makes_words(table) {
        return table.on(&ids.device()).rows(ids);
    }
    let table = table.matrix();
    let ([rows, embd], [batch, seq]) = (table.shape(), ids.dims());
    let mut values = Vec::with_capacity(batch * seq * embd);
    for id in ids.to_data().iter::<i64>() {
        let row = usize::try_from(id).ok().filter(|&row| row < rows);
        table.extend_with_column(&mut values, row.expect("an id is a row of the table"));
    }
    Tensor::from_data(TensorData::new(values, [batch, seq, embd]), &ids.device())
}
