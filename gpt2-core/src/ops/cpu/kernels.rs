//! What the backward passes are made of, on the tensors of `flex`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::TensorData;

use super::attention::Packed;
use super::cross_entropy::{Found, Head, Wanted};
use super::gemm::{Into, multiply, multiply_then};
use super::memory::Buffer;
use super::tensors::{
    contiguous, copied, extent, floats, indices, last_extent, like, matrix, own, tensor,
    with_columns,
};
use super::{activation, embedding, layer_norm, sums};
use crate::ops::causal_attention::Heads;
use crate::ops::dropout::Mask;
use crate::ops::fused::{FusedKernels, FusedOps};

impl FusedKernels for Flex {
    fn fused_layer_norm_backward(
        upstream: FlexTensor,
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [upstream, x, weight] = contiguous([upstream, x, weight]);
        let (by_x, by_weight, by_bias) =
            layer_norm::backward(floats(&upstream), floats(&x), floats(&weight), epsilon as f32);
        (like(&x, by_x), like(&weight, by_weight), like(&weight, by_bias))
    }

    fn product(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [x, weight] = contiguous([x, weight]);
        let (rows, shape) = with_columns(&x, extent(&weight, 1));
        let mut output = Buffer::new(rows * extent(&weight, 1));
        multiply(matrix(&x), matrix(&weight), &mut output, Into::Overwrite);
        output.into_tensor(shape)
    }

    fn projected(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        mask: Option<Mask>,
    ) -> FlexTensor {
        match mask {
            Some(mask) => {
                Self::dropout_residual(Self::fused_linear(x, weight, bias), residual, mask)
            }
            None => Self::linear_residual(x, weight, bias, residual),
        }
    }

    fn weight_gradient(x: FlexTensor, upstream: FlexTensor) -> FlexTensor {
        let [x, upstream] = contiguous([x, upstream]);
        let (from, to) = (last_extent(&x), last_extent(&upstream));
        let mut output = Buffer::new(from * to);
        multiply(matrix(&x).transposed(), matrix(&upstream), &mut output, Into::Overwrite);
        output.into_tensor([from, to])
    }

    fn bias_gradient(upstream: FlexTensor) -> FlexTensor {
        let [upstream] = contiguous([upstream]);
        let width = last_extent(&upstream);
        sums::columns(floats(&upstream), width).into_tensor([width])
    }

    fn linear_gelu_with_input(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let product = Self::fused_linear(x, weight, bias);
        let output = like(&product, activation::gelu(floats(&product)));
        (product, output)
    }

    fn gelu_tanh_backward(upstream: FlexTensor, x: FlexTensor) -> FlexTensor {
        let [x] = contiguous([x]);
        let mut gradient = upstream;
        if own(&mut gradient).is_none() {
            gradient = copied(&gradient);
        }
        if let Some(values) = own(&mut gradient) {
            activation::gelu_backward(values, floats(&x));
        }
        gradient
    }

    fn scores_through_gelu(upstream: FlexTensor, weight: FlexTensor, x: FlexTensor) -> FlexTensor {
        let [upstream, weight, x] = contiguous([upstream, weight, x]);
        let (columns, inner) = (extent(&weight, 0), floats(&x));
        let mut output = Buffer::new(inner.len());
        let (from, by) = (matrix(&upstream), matrix(&weight).transposed());
        multiply_then(from, by, &mut output, Into::Overwrite, |row, first, piece| {
            let inner = &inner[row * columns + first..][..piece.len()];
            activation::gelu_backward_of_piece(piece, inner);
        });
        like(&x, output)
    }

    fn scatter_add(mut table: FlexTensor, indices: FlexTensor, upstream: FlexTensor) -> FlexTensor {
        let [upstream] = contiguous([upstream]);
        if own(&mut table).is_none() {
            table = copied(&table);
        }
        let found = super::tensors::indices(&indices);
        if let Some(values) = own(&mut table) {
            embedding::scatter_add(values, &found, floats(&upstream), last_extent(&upstream));
        }
        table
    }

    fn scattered(indices: FlexTensor, upstream: FlexTensor, rows: usize) -> FlexTensor {
        let width = last_extent(&upstream);
        let zeros = Buffer::zeroed(rows * width).into_tensor([rows, width]);
        Self::scatter_add(zeros, indices, upstream)
    }

    fn linear_cross_entropy_with_gradients(
        hidden: FlexTensor,
        table: FlexTensor,
        targets: FlexTensor,
        factor: f64,
        [of_hidden, of_table]: [bool; 2],
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let wanted = Wanted { hidden: of_hidden, table: of_table, factor: factor as f32 };
        let CrossEntropy { loss, hits, by_hidden, by_table } =
            cross_entropy(hidden, table, targets, factor, Some(wanted));
        let [by_hidden, by_table] =
            [by_hidden, by_table].map(|found| found.unwrap_or_else(|| loss.clone()));
        (loss, hits, by_hidden, by_table)
    }

    fn causal_attention_with_sums(qkv: FlexTensor, heads: Heads) -> (FlexTensor, FlexTensor) {
        let [qkv] = contiguous([qkv]);
        let packed = packed(&qkv, heads);
        let (batch, embd) = (extent(&qkv, 0), heads.count * packed.head_dim);
        let mut output = Buffer::new(batch * packed.seq * embd);
        let mut sums = Buffer::new(batch * heads.count * packed.seq);
        packed.forward(&mut output, &mut sums);
        (
            output.into_tensor([batch, packed.seq, embd]),
            sums.into_tensor([batch, heads.count, packed.seq]),
        )
    }

    fn causal_attention_backward(
        upstream: FlexTensor,
        qkv: FlexTensor,
        output: FlexTensor,
        sums: FlexTensor,
        heads: Heads,
    ) -> FlexTensor {
        let [upstream, qkv, output, sums] = contiguous([upstream, qkv, output, sums]);
        let mut gradient = Buffer::new(qkv.layout().num_elements());
        packed(&qkv, heads).backward(
            floats(&output),
            floats(&upstream),
            floats(&sums),
            &mut gradient,
        );
        like(&qkv, gradient)
    }

    fn scaled(x: FlexTensor, upstream: FlexTensor) -> FlexTensor {
        match floats(&upstream.to_contiguous()) {
            [1.0] => x,
            _ => {
                let shape = vec![1; x.layout().num_dims()];
                Self::float_mul(x, upstream.reshape(shape.into()))
            }
        }
    }
}

/// What [`cross_entropy`] finds.
pub(super) struct CrossEntropy {
    /// The loss times the factor, `[1]`.
    pub loss: FlexTensor,
    /// Rows whose largest logit is at the target, `[1]`.
    pub hits: FlexTensor,
    /// Gradient by the hidden states, where it is wanted.
    pub by_hidden: Option<FlexTensor>,
    /// Gradient by the table, where it is wanted.
    pub by_table: Option<FlexTensor>,
}

/// Loss, hits and gradients of head and loss together.
pub(super) fn cross_entropy(
    hidden: FlexTensor,
    table: FlexTensor,
    targets: FlexTensor,
    factor: f64,
    wanted: Option<Wanted>,
) -> CrossEntropy {
    let [hidden, table] = contiguous([hidden, table]);
    let (targets, width) = (indices(&targets), extent(&table, 1));
    let head = Head { hidden: floats(&hidden), table: floats(&table), targets: &targets, width };
    let Found { loss, hits, by_hidden, by_table } = head.loss(wanted);
    CrossEntropy {
        loss: tensor(vec![(loss * factor) as f32], vec![1]),
        hits: FlexTensor::from_data(TensorData::new(vec![hits as i64], [1])),
        by_hidden: by_hidden.map(|gradient| like(&hidden, gradient)),
        by_table: by_table.map(|gradient| like(&table, gradient)),
    }
}

/// Queries, keys and values of whole texts.
fn packed(qkv: &FlexTensor, heads: Heads) -> Packed<'_> {
    Packed {
        qkv: floats(qkv),
        seq: extent(qkv, 1),
        heads: heads.count,
        head_dim: extent(qkv, 2) / 3 / heads.count,
        factor: heads.factor,
        mask: heads.mask,
    }
}
