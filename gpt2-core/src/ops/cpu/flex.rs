//! The fused operations on the tensors of `flex`.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::attention::{Packed, cached, decode};
use super::cross_entropy::{Found, Head, Wanted};
use super::gemm::{Into, Matrix, multiply, multiply_then};
use super::memory::Buffer;
use super::{activation, adamw, dropout, embedding, layer_norm, linear, rows, sums};
use crate::ops::AdamWUpdate;
use crate::ops::causal_attention::Heads;
use crate::ops::dropout::Mask;
use crate::ops::fused::{CrossEntropy, FusedKernels, FusedOps, projected};

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
        projected::<Self>(activated, c_proj, c_proj_bias, residual, mask)
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
        mut value: FlexTensor,
        mut mean: FlexTensor,
        mut square: FlexTensor,
        gradient: FlexTensor,
        update: AdamWUpdate,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [values, means, squares] = [&mut value, &mut mean, &mut square].map(floats_mut);
        adamw::adamw(values, means, squares, floats(&gradient.to_contiguous()), &update);
        (value, mean, square)
    }

    fn moment(like: FlexTensor) -> FlexTensor {
        let shape = like.layout().shape().clone();
        Buffer::lasting(shape.num_elements()).into_tensor(shape)
    }

    fn squared_norm(x: FlexTensor) -> FlexTensor {
        let sum = adamw::squared_norm(floats(&x.to_contiguous()));
        FlexTensor::from_data(TensorData::new(vec![sum], [1]))
    }

    fn add_scaled(mut sum: FlexTensor, part: FlexTensor, factor: f32) -> FlexTensor {
        adamw::add_scaled(floats_mut(&mut sum), floats(&part.to_contiguous()), factor);
        sum
    }
}

impl FusedKernels for Flex {
    fn fused_layer_norm_backward(
        upstream: FlexTensor,
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f64,
    ) -> [FlexTensor; 3] {
        let [upstream, x, weight] = contiguous([upstream, x, weight]);
        let (by_x, by_weight, by_bias) =
            layer_norm::backward(floats(&upstream), floats(&x), floats(&weight), epsilon as f32);
        [like(&x, by_x), like(&weight, by_weight), like(&weight, by_bias)]
    }

    fn product(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [x, weight] = contiguous([x, weight]);
        let (rows, shape) = with_columns(&x, extent(&weight, 1));
        let mut output = Buffer::new(rows * extent(&weight, 1));
        multiply(matrix(&x), matrix(&weight), &mut output, Into::Overwrite);
        output.into_tensor(shape)
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

    fn scatter_add(
        table: Option<FlexTensor>,
        rows: usize,
        indices: FlexTensor,
        upstream: FlexTensor,
    ) -> FlexTensor {
        let [upstream] = contiguous([upstream]);
        let width = last_extent(&upstream);
        let mut table =
            table.unwrap_or_else(|| Buffer::zeroed(rows * width).into_tensor([rows, width]));
        if own(&mut table).is_none() {
            table = copied(&table);
        }
        if let Some(values) = own(&mut table) {
            embedding::scatter_add(values, &self::indices(&indices), floats(&upstream), width);
        }
        table
    }

    fn linear_cross_entropy_with_gradients(
        hidden: FlexTensor,
        table: FlexTensor,
        targets: FlexTensor,
        factor: f64,
        [of_hidden, of_table]: [bool; 2],
    ) -> CrossEntropy<Self> {
        let wanted = Wanted { hidden: of_hidden, table: of_table, factor: factor as f32 };
        cross_entropy(hidden, table, targets, factor, Some(wanted))
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
                <Self as burn::backend::ops::FloatTensorOps<Self>>::float_mul(
                    x,
                    upstream.reshape(shape.into()),
                )
            }
        }
    }
}

fn cross_entropy(
    hidden: FlexTensor,
    table: FlexTensor,
    targets: FlexTensor,
    factor: f64,
    wanted: Option<Wanted>,
) -> CrossEntropy<Flex> {
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

/// Extents of a cache, for `seq` new tokens.
fn extents(cached: &FlexTensor, seq: usize) -> decode::Shape {
    let extent = |axis| extent(cached, axis);
    decode::Shape { heads: extent(1), capacity: extent(2), head_dim: extent(3), seq }
}

pub(super) fn extent(tensor: &FlexTensor, axis: usize) -> usize {
    tensor.layout().shape()[axis]
}

fn last_extent(tensor: &FlexTensor) -> usize {
    extent(tensor, tensor.layout().num_dims() - 1)
}

/// A contiguous tensor as a matrix, whose columns are the last axis.
fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let columns = last_extent(tensor);
    Matrix::new(floats(tensor), tensor.layout().num_elements() / columns, columns)
}

pub(super) fn contiguous<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    tensors.map(|tensor| match tensor.as_slice::<f32>() {
        Some(_) => tensor,
        None => tensor.to_contiguous(),
    })
}

/// The numbers of a contiguous tensor.
pub(super) fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor is contiguous and of f32, as its caller has seen to")
}

/// The numbers of a tensor that nobody else holds, where it is contiguous.
fn own(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let (start, end) = tensor.layout().contiguous_offsets()?;
    Some(&mut tensor.try_storage_mut()?[start..end])
}

/// The numbers of a tensor, to be changed: where they lie if they lie in order and nobody else holds
/// them, else of a copy.
fn floats_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    if tensor.as_slice::<f32>().is_none() {
        *tensor = tensor.to_contiguous();
    }
    match tensor.layout().contiguous_offsets() {
        Some((start, end)) => &mut tensor.storage_mut()[start..end],
        None => unreachable!("the tensor was made contiguous"),
    }
}

/// The tensor in memory of its own.
fn copied(tensor: &FlexTensor) -> FlexTensor {
    let [tensor] = contiguous([tensor.clone()]);
    let mut copy = Buffer::new(tensor.layout().num_elements());
    copy.copy_from_slice(floats(&tensor));
    like(&tensor, copy)
}

/// Indices of whatever integer type.
pub(super) fn indices(tensor: &FlexTensor) -> Vec<usize> {
    tensor.clone().into_data().iter::<i64>().map(|index| index as usize).collect()
}

/// Product of all axes but the last, and those axes with another last one.
pub(super) fn with_columns(x: &FlexTensor, columns: usize) -> (usize, Vec<usize>) {
    let mut axes = x.layout().shape().to_vec();
    axes.pop();
    let rows = axes.iter().product();
    axes.push(columns);
    (rows, axes)
}

/// A tensor of the shape of another.
fn like(tensor: &FlexTensor, values: Buffer) -> FlexTensor {
    values.into_tensor(tensor.layout().shape().clone())
}

pub(super) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
