//! Look-ups in two tables at once, and the gradient of a table.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tensors::{cubes, element, empty, matrix, owned, units, vector_size, zeros};

/// Units of a cube of [`rank_kernel`]: along the rows that are ranked, and along those they are compared with.
const RANKED: u32 = 32;
const COMPARED: u32 = 8;
/// Units of a cube of [`add_runs_kernel`]: along the columns, and along the rows of a run.
const WIDTH: u32 = 32;
const HEIGHT: u32 = 4;

/// `tokens[ids] + positions[places]`, `[batch, seq, embd]`; the places start again where there are fewer of them.
pub(super) fn embeddings(
    tokens: CubeTensor,
    positions: CubeTensor,
    ids: CubeTensor,
    places: CubeTensor,
) -> CubeTensor {
    let [tokens, positions, ids, places] = [tokens, positions, ids, places].map(into_contiguous);
    let [_, columns] = matrix(&tokens);
    let width = vector_size(&[&tokens, &positions], columns);
    let vectors = ids.meta.num_elements() * columns / width;
    let (count, dim) = units(&tokens.client, vectors);
    let mut shape = ids.meta.shape().to_vec();
    shape.push(columns);
    let output = empty(&tokens, shape, tokens.dtype);
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
        place_count,
        types,
    );
    output
}

/// Adds row `r` of `upstream` to the row `indices[r % indices.len()]` of a table, where that lies if it has no other
/// owner; a table of `rows` of zeros, in the type of `upstream`, where none is given.
///
/// What goes to one row is summed first, in an order that depends on the indices alone, so two runs give the same bits.
/// Atomic sums of floats, which do not, are what this is instead of. The rows of `upstream` are ranked by index, ties by
/// their place: a rank is the number of rows before, which is counted. That takes a comparison for every pair of rows,
/// 67 million for 8,192 of them and thus microseconds where the sums move 50 MB, in one launch without a word of
/// scratch; sorting digit by digit takes eight launches and wins from some 100,000 rows on.
/// Then a few cubes for each run of equal indices, side by side along the columns, add its rows.
pub(super) fn scatter_add(
    table: Option<CubeTensor>,
    rows: usize,
    indices: CubeTensor,
    upstream: CubeTensor,
) -> CubeTensor {
    let [indices, upstream] = [indices, upstream].map(into_contiguous);
    let [count, columns] = matrix(&upstream);
    let table = match table {
        Some(table) => owned(table),
        None => zeros(&upstream, [rows, columns], upstream.dtype),
    };
    let (order, runs) = rank(&indices, count);
    let width = vector_size(&[&table, &upstream], columns);
    let vectors = columns / width;
    let types = [element(&table), element(&upstream), element(&indices)];
    let index_count = indices.meta.num_elements();
    add_runs_kernel::launch(
        &table.client,
        cubes(&table.client, count * vectors.div_ceil(WIDTH as usize)),
        CubeDim::new_2d(WIDTH, HEIGHT),
        width,
        table.clone().into_buffer_arg(),
        upstream.into_buffer_arg(),
        indices.into_buffer_arg(),
        order.into_buffer_arg(),
        runs.into_buffer_arg(),
        count,
        vectors,
        index_count,
        types,
    );
    table
}

/// The rows `0..count` in the order of their indices, and at the first of every run of equal ones its length, 0 at
/// the others.
fn rank(indices: &CubeTensor, count: usize) -> (CubeTensor, CubeTensor) {
    let [order, runs] = [(); 2].map(|()| empty(indices, [count], DType::U32));
    rank_kernel::launch(
        &indices.client,
        cubes(&indices.client, count.div_ceil(RANKED as usize)),
        CubeDim::new_2d(RANKED, COMPARED),
        indices.clone().into_buffer_arg(),
        order.clone().into_buffer_arg(),
        runs.clone().into_buffer_arg(),
        count,
        indices.meta.num_elements(),
        element(indices),
    );
    (order, runs)
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
    place_count: usize,
    #[define(F, P, I, J)] _types: [ElemType; 4],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let row = at / columns;
        let column = at % columns;
        let token = u32::cast_from(ids[row]) as usize * columns + column;
        let position = u32::cast_from(places[row % place_count]) as usize * columns + column;
        let sum = Vector::<f32, N>::cast_from(tokens[token])
            + Vector::<f32, N>::cast_from(positions[position]);
        output[at] = Vector::cast_from(sum);
    }
}

/// Each unit compares one row with every `COMPARED`th of all.
#[cube(launch)]
fn rank_kernel<I: Numeric>(
    indices: &[I],
    order: &mut [u32],
    runs: &mut [u32],
    count: usize,
    index_count: usize,
    #[define(I)] _type: ElemType,
) {
    let row = CUBE_POS * comptime!(RANKED as usize) + UNIT_POS_X as usize;
    // Where there is no such row the last one is counted in its place, and nothing is written.
    let index = u32::cast_from(indices[row.min(count - 1) % index_count]);
    // Rows with a smaller index, with an equal one before this row, and with an equal one behind it.
    let mut smaller = 0u32;
    let mut before = 0u32;
    let mut behind = 0u32;
    let mut other = UNIT_POS_Y as usize;
    let mut place = other % index_count;
    while other < count {
        let value = u32::cast_from(indices[place]);
        let is_equal = value == index;
        smaller += u32::cast_from(value < index);
        before += u32::cast_from(is_equal && other < row);
        behind += u32::cast_from(is_equal && other > row);
        other += comptime!(COMPARED as usize);
        place += comptime!(COMPARED as usize);
        while place >= index_count {
            place -= index_count;
        }
    }
    let size = comptime!((3 * RANKED * COMPARED) as usize);
    let mut scratch = Shared::<[u32]>::new_slice(size);
    let unit = 3 * UNIT_POS as usize;
    scratch[unit] = smaller;
    scratch[unit + 1] = before;
    scratch[unit + 2] = behind;
    sync_cube();
    if UNIT_POS_Y == 0 && row < count {
        #[unroll]
        for step in 1..comptime!(COMPARED as usize) {
            let unit = unit + comptime!(3 * step * RANKED as usize);
            smaller += scratch[unit];
            before += scratch[unit + 1];
            behind += scratch[unit + 2];
        }
        let rank = (smaller + before) as usize;
        order[rank] = row as u32;
        runs[rank] = select(before == 0, behind + 1, 0u32);
    }
}

/// A cube adds the rows of one run in some columns, if a run begins at its place of the order.
#[cube(launch)]
fn add_runs_kernel<T: Float, U: Float, I: Numeric, N: Size>(
    table: &mut [Vector<T, N>],
    upstream: &[Vector<U, N>],
    indices: &[I],
    order: &[u32],
    runs: &[u32],
    count: usize,
    vectors: usize,
    index_count: usize,
    #[define(T, U, I)] _types: [ElemType; 3],
) {
    let width = comptime!(WIDTH as usize);
    let blocks = vectors.div_ceil(width);
    let first = CUBE_POS / blocks;
    if first >= count {
        terminate!();
    }
    let length = runs[first] as usize;
    if length == 0 {
        terminate!();
    }
    let column = CUBE_POS % blocks * width + UNIT_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if column < vectors {
        let mut at = UNIT_POS_Y as usize;
        while at < length {
            sum += Vector::cast_from(upstream[order[first + at] as usize * vectors + column]);
            at += comptime!(HEIGHT as usize);
        }
    }
    let mut scratch = Shared::<[Vector<f32, N>]>::new_slice(comptime!((WIDTH * HEIGHT) as usize));
    scratch[UNIT_POS as usize] = sum;
    sync_cube();
    if UNIT_POS_Y == 0 && column < vectors {
        #[unroll]
        for step in 1..comptime!(HEIGHT as usize) {
            sum += scratch[UNIT_POS as usize + comptime!(step * WIDTH as usize)];
        }
        let index = u32::cast_from(indices[order[first] as usize % index_count]) as usize;
        let place = index * vectors + column;
        table[place] = Vector::cast_from(Vector::<f32, N>::cast_from(table[place]) + sum);
    }
}
