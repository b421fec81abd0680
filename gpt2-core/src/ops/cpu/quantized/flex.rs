//! The products on the tensors of `flex`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::super::activation;
use super::super::flex::{add, contiguous, extent, floats, with_columns};
use super::super::memory::Buffer;
use super::product;
use crate::ops::quantized::QuantizedOps;
use crate::quantize::QuantizedMatrix;

impl QuantizedOps for Flex {
    fn quantized_linear(x: FlexTensor, bias: FlexTensor, weight: QuantizedMatrix) -> FlexTensor {
        product_then(x, &weight, Some(&bias), |_, _, _| ())
    }

    fn quantized_gelu(x: FlexTensor, bias: FlexTensor, weight: QuantizedMatrix) -> FlexTensor {
        product_then(x, &weight, Some(&bias), |_, _, piece| activation::gelu_of_piece(piece))
    }

    fn quantized_residual(
        x: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        weight: QuantizedMatrix,
    ) -> FlexTensor {
        let [residual] = contiguous([residual]);
        let (columns, residual) = (extent(&bias, 0), floats(&residual));
        product_then(x, &weight, Some(&bias), |row, first, piece| {
            add(piece, &residual[row * columns + first..]);
        })
    }

    fn quantized_scores(x: FlexTensor, table: QuantizedMatrix) -> FlexTensor {
        product_then(x, &table, None, |_, _, _| ())
    }
}

/// The product, with every piece of a row going through `then`.
fn product_then(
    x: FlexTensor,
    weight: &QuantizedMatrix,
    bias: Option<&FlexTensor>,
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> FlexTensor {
    let bias = bias.map(FlexTensor::to_contiguous);
    let ([x], matrix) = (contiguous([x]), weight.packed());
    let (rows, shape) = with_columns(&x, matrix.shape.columns);
    let mut output = Buffer::new(rows * matrix.shape.columns);
    product(floats(&x), rows, matrix, bias.as_ref().map(floats), &mut output, then);
    output.into_tensor(shape)
}
