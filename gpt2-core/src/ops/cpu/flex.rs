//! The fused operations on the tensors of `flex`.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::attention::{cached, decode};
use super::gemm::{Into, multiply, multiply_then};
use super::kernels::cross_entropy;
use super::memory::Buffer;
use super::tensors::{
    contiguous, extent, extents, floats, floats_mut, indices, like, matrix, own, tensor,
    with_columns,
};
use super::{activation, adamw, dropout, embedding, layer_norm, linear, rows};
use crate::ops::AdamWUpdate;
use crate::ops::causal_attention::Heads;
use crate::ops::dropout::Mask;
use crate::ops::fused::{FusedKernels, FusedOps};
use crate::ops::list::Tensors;

/// Rows up to which a matrix is read faster than it is rearranged.
const FEW_ROWS: usize = 16;

/// New tokens of a row up to which attention takes them one by one: more than are guessed at a
/// time.
const FEW_TOKENS: usize = 32;

impl FusedOps for Flex {
    fn fused_layer_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        epsilon: f64,
    ) -> FlexTensor {
        let [x, weight, bias] = contiguous([x, weight, bias]);
        let output =
            layer_norm::layer_norm(floats(&x), floats(&weight), floats(&bias), epsilon as f32);
        like(&x, output)
    }

    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [x, weight, bias] = contiguous([x, weight, bias]);
        let (rows, shape) = with_columns(&x, extent(&weight, 1));
        let (values, added) = (floats(&weight), floats(&bias));
        if (1..=FEW_ROWS).contains(&rows) {
            return tensor(linear::linear(floats(&x), values, added, rows), shape);
        }
        product_then(&x, &weight, |_, first, piece| add(piece, &added[first..]))
    }

    fn linear_residual(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
    ) -> FlexTensor {
        let [x, weight, bias, residual] = contiguous([x, weight, bias, residual]);
        let (rows, shape) = with_columns(&x, extent(&weight, 1));
        let (added, residual, columns) = (floats(&bias), floats(&residual), extent(&weight, 1));
        if (1..=FEW_ROWS).contains(&rows) {
            let mut output = linear::linear(floats(&x), floats(&weight), added, rows);
            add(&mut output, residual);
            return tensor(output, shape);
        }
        product_then(&x, &weight, |row, first, piece| {
            add(piece, &added[first..]);
            add(piece, &residual[row * columns + first..]);
        })
    }

    fn linear_gelu(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [x, weight, bias] = contiguous([x, weight, bias]);
        let (rows, shape) = with_columns(&x, extent(&weight, 1));
        let added = floats(&bias);
        if (1..=FEW_ROWS).contains(&rows) {
            let mut output = linear::linear(floats(&x), floats(&weight), added, rows);
            activation::gelu_in_place(&mut output);
            return tensor(output, shape);
        }
        product_then(&x, &weight, |_, first, piece| {
            add(piece, &added[first..]);
            activation::gelu_of_piece(piece);
        })
    }

    fn mlp(
        x: FlexTensor,
        c_fc: FlexTensor,
        c_fc_bias: FlexTensor,
        c_proj: FlexTensor,
        c_proj_bias: FlexTensor,
        residual: FlexTensor,
        mask: Option<Mask>,
    ) -> FlexTensor {
        let activated = Self::linear_gelu(x, c_fc, c_fc_bias);
        Self::projected(activated, c_proj, c_proj_bias, residual, mask)
    }

    fn scores(x: FlexTensor, table: FlexTensor) -> FlexTensor {
        let [x, table] = contiguous([x, table]);
        let (rows, shape) = with_columns(&x, extent(&table, 0));
        if (1..=FEW_ROWS).contains(&rows) {
            return tensor(linear::transposed(floats(&x), floats(&table), rows), shape);
        }
        let mut output = Buffer::new(rows * extent(&table, 0));
        multiply(matrix(&x), matrix(&table).transposed(), &mut output, Into::Overwrite);
        output.into_tensor(shape)
    }

    fn gelu_tanh(x: FlexTensor) -> FlexTensor {
        let mut x = x;
        match own(&mut x) {
            Some(values) => {
                activation::gelu_in_place(values);
                x
            }
            None => {
                let [x] = contiguous([x]);
                like(&x, activation::gelu(floats(&x)))
            }
        }
    }

    fn dropout(x: FlexTensor, mask: Mask) -> FlexTensor {
        let [x] = contiguous([x]);
        like(&x, dropout::dropout(floats(&x), None, mask))
    }

    fn dropout_residual(x: FlexTensor, residual: FlexTensor, mask: Mask) -> FlexTensor {
        let [x, residual] = contiguous([x, residual]);
        like(&x, dropout::dropout(floats(&x), Some(floats(&residual)), mask))
    }

    fn embeddings(
        tokens: FlexTensor,
        positions: FlexTensor,
        ids: FlexTensor,
        places: FlexTensor,
        _after_head: bool,
    ) -> FlexTensor {
        let [tokens, positions] = contiguous([tokens, positions]);
        let width = extent(&tokens, 1);
        let (found, at) = (indices(&ids), indices(&places));
        let mut shape = ids.layout().shape().to_vec();
        shape.push(width);
        embedding::embedding(floats(&tokens), floats(&positions), &found, &at, width)
            .into_tensor(shape)
    }

    fn alias(x: FlexTensor) -> FlexTensor {
        x
    }

    fn linear_cross_entropy(
        hidden: FlexTensor,
        table: FlexTensor,
        targets: FlexTensor,
        factor: f64,
    ) -> (FlexTensor, FlexTensor) {
        let found = cross_entropy(hidden, table, targets, factor, None);
        (found.loss, found.hits)
    }

    fn causal_attention(qkv: FlexTensor, heads: Heads) -> FlexTensor {
        Self::causal_attention_with_sums(qkv, heads).0
    }

    fn attend_in_place(
        qkv: FlexTensor,
        mut keys: FlexTensor,
        mut values: FlexTensor,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let qkv = qkv.to_contiguous();
        let shape = extents(&keys, extent(&qkv, 1));
        let new = floats(&qkv);
        // Copies only where somebody else holds the cache as well.
        decode::write(new, 1, &places, shape, keys.storage_mut());
        decode::write(new, 2, &places, shape, values.storage_mut());
        let attend = if shape.seq <= FEW_TOKENS { decode::attend } else { cached::attend };
        let output = attend(new, keys.storage(), values.storage(), &places, shape, factor);
        let embd = shape.heads * shape.head_dim;
        (tensor(output, vec![places.len(), shape.seq, embd]), keys, values)
    }

    fn move_rows(
        mut cached: FlexTensor,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FlexTensor {
        let shape = extents(&cached, 1);
        rows::move_rows(cached.storage_mut(), &from, first, filled, shape);
        cached
    }

    fn adamw(
        mut values: Tensors<Self>,
        mut means: Tensors<Self>,
        mut squares: Tensors<Self>,
        gradients: Tensors<Self>,
        factors: Tensors<Self>,
        places: Vec<usize>,
        updates: Vec<AdamWUpdate>,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let factors = factors.0.first().map(FlexTensor::to_contiguous);
        let states = values.0.iter_mut().zip(&mut means.0).zip(&mut squares.0);
        let gradients = gradients.0.into_iter().zip(places).zip(updates);
        for (((value, mean), square), ((gradient, place), mut update)) in states.zip(gradients) {
            if let Some(factors) = &factors {
                update.gradient_factor *= f64::from(floats(factors)[place]);
            }
            let [value, mean, square] = [value, mean, square].map(floats_mut);
            adamw::adamw(value, mean, square, floats(&gradient.to_contiguous()), &update);
        }
        (values, means, squares)
    }

    fn moment(like: FlexTensor) -> FlexTensor {
        let count = like.layout().num_elements();
        Buffer::lasting(count).into_tensor(vec![count])
    }

    fn squared_norms(xs: Tensors<Self>, places: Vec<usize>, count: usize) -> FlexTensor {
        let mut sums = vec![0.0; count];
        for (x, place) in xs.0.into_iter().zip(places) {
            sums[place] = adamw::squared_norm(floats(&x.to_contiguous()));
        }
        FlexTensor::from_data(TensorData::new(sums, [count]))
    }

    fn add_scaled(mut sum: FlexTensor, part: FlexTensor, factor: f32) -> FlexTensor {
        adamw::add_scaled(floats_mut(&mut sum), floats(&part.to_contiguous()), factor);
        sum
    }
}

/// `x @ weight`, with every piece of a row going through `then`.
fn product_then(
    x: &FlexTensor,
    weight: &FlexTensor,
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> FlexTensor {
    let (rows, shape) = with_columns(x, extent(weight, 1));
    let mut output = Buffer::new(rows * extent(weight, 1));
    multiply_then(matrix(x), matrix(weight), &mut output, Into::Overwrite, then);
    output.into_tensor(shape)
}

pub(super) fn add(piece: &mut [f32], other: &[f32]) {
    piece.iter_mut().zip(other).for_each(|(piece, other)| *piece += other);
}
