//! The products on the tensors of `flex`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::super::activation;
use super::super::flex::{add, contiguous, extent, floats, with_columns};
use super::super::memory::Buffer;
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
    let (values, bias) = (floats(&x), bias.as_ref().map(floats));
    match weight {
        CompactMatrix::Quantized(weight) => {
            product(values, rows, weight.packed(), bias, &mut output, then);
        }
        CompactMatrix::Half(weight) => {
            half::product(values, rows, weight, bias, &mut output, then);
        }
    }
    output.into_tensor(shape)
}
