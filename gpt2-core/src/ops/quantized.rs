//! Products with quantized weights, and look-ups in them.

use burn::tensor::{Int, Tensor, TensorData};

use crate::quantize::QuantizedMatrix;

/// `x @ weight + bias` with a quantized weight, `[in, out]`; `None` where there is no such product: elsewhere than on
/// `flex`, and where gradients are recorded.
///
/// `x` is quantized too, to 8 bits with a scale for each row and group of the weight. Sums within a group are exact.
///
/// # Shapes
/// - x: `[.., in]`
/// - bias: `[out]`
/// - output: `[.., out]`
///
/// # Panics
/// If the shapes do not agree.
#[must_use]
pub fn quantized_linear<const D: usize>(
    x: &Tensor<D>,
    weight: &QuantizedMatrix,
    bias: &Tensor<1>,
) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return super::cpu::quantized_linear(x, weight, bias);
    #[cfg(not(feature = "flex"))]
    None
}

/// `x @ table^T` with a quantized table, `[vocab, embd]`; `None` as with [`quantized_linear`].
///
/// # Shapes
/// - x: `[.., embd]`
/// - output: `[.., vocab]`
///
/// # Panics
/// If the shapes do not agree.
#[must_use]
pub fn quantized_scores<const D: usize>(
    x: &Tensor<D>,
    table: &QuantizedMatrix,
) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return super::cpu::quantized_scores(x, table);
    #[cfg(not(feature = "flex"))]
    None
}

/// Rows of a quantized table, `[vocab, embd]`.
///
/// # Shapes
/// - ids: `[batch, seq]`
/// - output: `[batch, seq, embd]`
///
/// # Panics
/// If an id is not a row of the table, or the device fails.
#[must_use]
pub fn quantized_rows(table: &QuantizedMatrix, ids: &Tensor<2, Int>) -> Tensor<3> {
    let ([rows, embd], [batch, seq]) = (table.shape(), ids.dims());
    let mut values = Vec::with_capacity(batch * seq * embd);
    for id in ids.to_data().iter::<i64>() {
        let row = usize::try_from(id).ok().filter(|&row| row < rows);
        values.extend(table.column(row.expect("an id is a row of the table")));
    }
    Tensor::from_data(TensorData::new(values, [batch, seq, embd]), &ids.device())
}
