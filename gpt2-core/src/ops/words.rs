//! Products with weights in fewer bits on GPUs, which read them as words.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::shapes;
use crate::quantize::{CompactMatrix, WordShape, Words};

/// The products, on tensors as a backend holds them. Activations are `f32`. Nothing is recorded.
#[backend_extension(Cube, Fusion)]
pub trait WordOps: Backend {
    /// `x @ weight`.
    #[fusion(dtype = x, shape = shapes::of_words(x, shape))]
    fn word_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias`.
    #[fusion(dtype = x, shape = shapes::of_words(x, shape))]
    fn word_linear(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;

    /// `gelu(x @ weight + bias)`, of the tanh form.
    #[fusion(dtype = x, shape = shapes::of_words(x, shape))]
    fn word_gelu(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;

    /// `x @ weight + bias + residual`.
    #[fusion(dtype = x, shape = shapes::of_words(x, shape))]
    fn word_residual(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;

    /// Columns of the weight, which of a table are rows: `[batch, seq, depth]`.
    #[fusion(dtype = scales, shape = shapes::of_word_rows(ids, shape))]
    fn word_rows(
        ids: IntTensor<Self>,
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;

    /// The floats of a table, `[columns, depth]`.
    #[fusion(dtype = scales, shape = shapes::of_word_table(shape))]
    fn word_table(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        shape: WordShape,
    ) -> FloatTensor<Self>;
}

/// A weight in words on a device.
#[derive(Debug, Clone)]
pub(super) struct WordTensors {
    words: Tensor<1, Int>,
    scales: Tensor<1>,
    shape: WordShape,
}

/// What is done with a product.
#[allow(clippy::large_enum_variant)] // It is taken apart where it is made.
pub(super) enum Then<const D: usize> {
    Nothing,
    Bias(Tensor<1>),
    BiasGelu(Tensor<1>),
    BiasResidual(Tensor<1>, Tensor<D>),
}

impl WordTensors {
    pub fn new(matrix: &CompactMatrix, device: &Device) -> Self {
        let Words { shape, words, scales } = matrix.to_words();
        // The same bits: the framework's whole numbers have signs.
        let words: Vec<i32> = words.into_iter().map(u32::cast_signed).collect();
        let ([words_len], [scales_len]) = ([words.len()], [scales.len()]);
        Self {
            words: Tensor::from_data(TensorData::new(words, [words_len]), (device, DType::I32)),
            scales: Tensor::from_data(TensorData::new(scales, [scales_len]), (device, DType::F32)),
            shape,
        }
    }

    pub fn is_on(&self, device: &Device) -> bool {
        self.words.device() == *device
    }

    /// `x @ weight`, and what is done with it.
    pub fn product<const D: usize>(self, x: Tensor<D>, then: Then<D>) -> Tensor<D> {
        let (x, words, scales) =
            (x.into_dispatch(), self.words.into_dispatch(), self.scales.into_dispatch());
        let shape = self.shape;
        Tensor::from_dispatch(match then {
            Then::Nothing => <Dispatch as WordOps>::word_product(x, words, scales, shape),
            Then::Bias(bias) => {
                <Dispatch as WordOps>::word_linear(x, words, scales, bias.into_dispatch(), shape)
            }
            Then::BiasGelu(bias) => {
                <Dispatch as WordOps>::word_gelu(x, words, scales, bias.into_dispatch(), shape)
            }
            Then::BiasResidual(bias, residual) => {
                let (bias, residual) = (bias.into_dispatch(), residual.into_dispatch());
                <Dispatch as WordOps>::word_residual(x, words, scales, bias, residual, shape)
            }
        })
    }

    /// Rows of a table.
    pub fn rows(self, ids: Tensor<2, Int>) -> Tensor<3> {
        let (words, scales) = (self.words.into_dispatch(), self.scales.into_dispatch());
        let rows = <Dispatch as WordOps>::word_rows(ids.into_dispatch(), words, scales, self.shape);
        Tensor::from_dispatch(rows)
    }

    /// All rows of a table.
    pub fn table(self) -> Tensor<2> {
        let (words, scales) = (self.words.into_dispatch(), self.scales.into_dispatch());
        Tensor::from_dispatch(<Dispatch as WordOps>::word_table(words, scales, self.shape))
    }
}
