//! The products on the tensors of `flex`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::super::activation;
use super::super::cross_entropy::{ROWS, rows_of};
use super::super::flex::add;
use super::super::memory::Buffer;
use super::super::tensors::{contiguous, extent, floats, indices, tensor, with_columns};
use super::{half, product};
use crate::ops::quantized::QuantizedOps;
use crate::quantize::CompactMatrix;

impl QuantizedOps for Flex {
    fn quantized_linear(x: FlexTensor, bias: FlexTensor, weight: CompactMatrix) -> FlexTensor {
        product_then(x, &weight, Some(&bias), |_, _, _| ())
    }

    fn quantized_gelu(x: FlexTensor, bias: FlexTensor, weight: CompactMatrix) -> FlexTensor {
        product_then(x, &weight, Some(&bias), |_, _, piece| activation::gelu_of_piece(piece))
    }

    fn quantized_residual(
        x: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        weight: CompactMatrix,
    ) -> FlexTensor {
        let [residual] = contiguous([residual]);
        let (columns, residual) = (extent(&bias, 0), floats(&residual));
        product_then(x, &weight, Some(&bias), |row, first, piece| {
            add(piece, &residual[row * columns + first..]);
        })
    }

    fn quantized_scores(x: FlexTensor, table: CompactMatrix) -> FlexTensor {
        product_then(x, &table, None, |_, _, _| ())
    }

    fn quantized_cross_entropy(
        hidden: FlexTensor,
        targets: FlexTensor,
        table: CompactMatrix,
    ) -> (FlexTensor, FlexTensor) {
        let ([hidden], targets) = (contiguous([hidden]), indices(&targets));
        let (width, vocab) = (extent(&hidden, 1), table.columns());
        let mut logits = Buffer::new(ROWS.min(targets.len()) * vocab);
        let (mut loss, mut hits) = (0.0, 0);
        let parts = floats(&hidden).chunks(ROWS * width).zip(targets.chunks(ROWS));
        for (hidden, targets) in parts {
            let logits = &mut logits[..targets.len() * vocab];
            multiply(hidden, targets.len(), &table, None, logits, |_, _, _| ());
            for (nats, is_hit) in rows_of(logits, targets, None) {
                (loss, hits) = (loss + nats, hits + i64::from(is_hit));
            }
        }
        let hits = FlexTensor::from_data(TensorData::new(vec![hits], [1]));
        (tensor(vec![loss as f32], vec![1]), hits)
    }
}

/// The product, with every piece of a row going through `then`.
fn product_then(
    x: FlexTensor,
    weight: &CompactMatrix,
    bias: Option<&FlexTensor>,
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> FlexTensor {
    let bias = bias.map(FlexTensor::to_contiguous);
    let ([x], columns) = (contiguous([x]), weight.columns());
    let (rows, shape) = with_columns(&x, columns);
    let mut output = Buffer::new(rows * columns);
    multiply(floats(&x), rows, weight, bias.as_ref().map(floats), &mut output, then);
    output.into_tensor(shape)
}

fn multiply(
    x: &[f32],
    rows: usize,
    weight: &CompactMatrix,
    bias: Option<&[f32]>,
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    match weight {
        CompactMatrix::Quantized(weight) => product(x, rows, weight.packed(), bias, output, then),
        CompactMatrix::Half(weight) => half::product(x, rows, weight, bias, output, then),
    }
}
