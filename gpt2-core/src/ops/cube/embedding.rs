//! Look-ups in two tables at once.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

use super::tensors::{Sweep, element, empty, matrix, sweep};

/// `tokens[ids] + positions[places]`, `[batch, seq, embd]`; the places start again where there are fewer of them.
pub(super) fn embeddings(
    tokens: CubeTensor,
    positions: CubeTensor,
    ids: CubeTensor,
    places: CubeTensor,
) -> CubeTensor {
    let [tokens, positions, ids, places] = [tokens, positions, ids, places].map(into_contiguous);
    let [_, columns] = matrix(&tokens);
    let mut shape = ids.meta.shape().to_vec();
    shape.push(columns);
    let output = empty(&tokens, shape, tokens.dtype);
    let Sweep { width, vectors, count, dim } = sweep(&[&output, &tokens, &positions], columns);
    let types = [element(&tokens), element(&positions), element(&ids), element(&places)];
    let place_count = places.meta.num_elements();
    embeddings_kernel::launch(
        &output.client,
        count,
        dim,
        width,
        tokens.into_buffer_arg(),
        positions.into_buffer_arg(),
        ids.into_buffer_arg(),
        places.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        vectors,
        columns / width,
        columns / width,
        place_count,
        types,
    );
    output
}

#[cube(launch)]
fn embeddings_kernel<F: Float, P: Float, I: Numeric, J: Numeric, N: Size>(
    tokens: &[Vector<F, N>],
    positions: &[Vector<P, N>],
    ids: &[I],
    places: &[J],
    output: &mut [Vector<F, N>],
    vectors: usize,
    columns: usize,
    by_columns: FastDivmod<usize>,
    by_places: FastDivmod<usize>,
    #[define(F, P, I, J)] _types: [ElemType; 4],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let (row, column) = by_columns.div_mod(at);
        let token = u32::cast_from(ids[row]) as usize * columns + column;
        let place = by_places.modulo(row);
        let position = u32::cast_from(places[place]) as usize * columns + column;
        let sum = Vector::<f32, N>::cast_from(tokens[token])
            + Vector::<f32, N>::cast_from(positions[position]);
        output[at] = Vector::cast_from(sum);
    }
}
