//! What words stand for, and all the numbers of a weight or of some rows of a table.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

use super::Weight;
use crate::ops::cube::tensors::{element, empty, units};
use crate::quantize::{WordKind, WordShape};

impl Weight {
    /// The floats, `[depth, columns]`.
    pub(super) fn floats(&self, dtype: DType) -> CubeTensor {
        let WordShape { depth, columns, .. } = self.shape;
        let output = empty(&self.words, [depth, columns], dtype);
        self.expand(&output, [columns, 1]);
        output
    }

    /// Writes the floats, with steps from one to the next along the depth and along the columns.
    pub(super) fn expand(&self, output: &CubeTensor, strides: [usize; 2]) {
        let shape = self.shape;
        let (count, dim) = units(&output.client, self.words.meta.num_elements());
        expand_kernel::launch(
            &output.client,
            count,
            dim,
            1,
            self.words.clone().into_buffer_arg(),
            self.scales.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            shape.depth,
            shape.columns,
            shape.padded(),
            shape.padded(),
            strides[0],
            strides[1],
            shape.kind,
            element(output),
        );
    }
}

/// Rows of a table, `[batch, seq, depth]`.
pub(super) fn rows(ids: CubeTensor, weight: Weight) -> CubeTensor {
    let ids = into_contiguous(ids);
    let shape = weight.shape;
    let [batch, seq] = ids.shape().dims();
    let output = empty(&weight.scales, [batch, seq, shape.depth], DType::F32);
    let items = batch * seq * shape.steps();
    let (count, dim) = units(&output.client, items);
    let of_ids = element(&ids);
    rows_kernel::launch(
        &output.client,
        count,
        dim,
        1,
        ids.into_buffer_arg(),
        weight.words.into_buffer_arg(),
        weight.scales.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        items,
        shape.steps(),
        shape.padded(),
        shape.kind,
        of_ids,
    );
    output
}

/// The numbers at a place of words, without their scale.
#[cube]
pub(super) fn numbers<N: Size>(
    word: Vector<u32, N>,
    #[comptime] at: usize,
    #[comptime] kind: WordKind,
) -> Vector<f32, N> {
    let shift = Vector::<u32, N>::new(comptime!((at * kind.bits()) as u32));
    if comptime!(kind == WordKind::Half) {
        let bits = if comptime!(at == 0) {
            word << Vector::<u32, N>::new(16u32)
        } else {
            word & Vector::<u32, N>::new(0xffff_0000u32)
        };
        Vector::<f32, N>::reinterpret(bits)
    } else {
        let mask = Vector::<u32, N>::new(comptime!((1u32 << kind.bits()) - 1));
        let offset = Vector::<f32, N>::new(comptime!((1u32 << (kind.bits() - 1)) as f32));
        Vector::<f32, N>::cast_from((word >> shift) & mask) - offset
    }
}

/// The scale of a word.
#[cube]
fn scale_of<N: Size>(
    scales: &[Vector<f32, N>],
    step: usize,
    column: usize,
    padded: usize,
    #[comptime] kind: WordKind,
) -> Vector<f32, N> {
    let group = comptime!(kind.words_of_a_group());
    if comptime!(group.is_some()) {
        scales[step / comptime!(group.unwrap_or(1)) * padded + column]
    } else {
        Vector::<f32, N>::new(1.0f32)
    }
}

/// A unit writes the numbers of one word.
#[cube(launch)]
fn expand_kernel<O: Float, N: Size>(
    words: &[Vector<u32, N>],
    scales: &[Vector<f32, N>],
    output: &mut [O],
    depth: usize,
    columns: usize,
    padded: FastDivmod<usize>,
    padded_columns: usize,
    along_depth: usize,
    along_columns: usize,
    #[comptime] kind: WordKind,
    #[define(O)] _type: ElemType,
) {
    let (step, column) = padded.div_mod(ABSOLUTE_POS);
    let count = comptime!(kind.count());
    if column < columns && step * count < depth {
        let word = words[ABSOLUTE_POS];
        let scale = scale_of::<N>(scales, step, column, padded_columns, kind);
        #[unroll]
        for at in 0..count {
            let place = step * count + at;
            if place < depth {
                let value = numbers::<N>(word, at, kind) * scale;
                output[place * along_depth + column * along_columns] =
                    O::cast_from(value.extract(0usize));
            }
        }
    }
}

/// A unit writes the numbers of one word of a row of a table.
#[cube(launch)]
fn rows_kernel<I: Numeric, N: Size>(
    ids: &[I],
    words: &[Vector<u32, N>],
    scales: &[Vector<f32, N>],
    output: &mut [f32],
    items: usize,
    steps: FastDivmod<usize>,
    padded: usize,
    #[comptime] kind: WordKind,
    #[define(I)] _type: ElemType,
) {
    if ABSOLUTE_POS < items {
        let (row, step) = steps.div_mod(ABSOLUTE_POS);
        let column = u32::cast_from(ids[row]) as usize;
        let word = words[step * padded + column];
        let scale = scale_of::<N>(scales, step, column, padded, kind);
        let count = comptime!(kind.count());
        #[unroll]
        for at in 0..count {
            let value = numbers::<N>(word, at, kind) * scale;
            output[ABSOLUTE_POS * count + at] = value.extract(0usize);
        }
    }
}
