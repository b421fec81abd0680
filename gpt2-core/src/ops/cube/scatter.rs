//! The gradient of a table: rows added to rows, as often as an index comes.
//!
//! Two runs must give the same bits, so floats are not added by atomic operations, whose order is that of the clock.
//! The rows that go to one row of the table are collected instead, and one cube adds them in the order of their places.
//! Collecting takes counters of whole numbers, which give the same in any order:
//!
//! 1. Every index counts the row it names, which tells it how many counted that row before: its slot.
//! 2. Every row that is named takes as much of a list as it was counted. Which part is up to the clock.
//! 3. Every place goes to its slot in that part.
//! 4. Every place counts the lower ones of its part, which is where it belongs.
//!
//! Steps 1 to 3 are work in proportion to the number of indices and to the rows of the table. In the last a row that is named
//! `n` times takes `n^2` comparisons of neighbours in memory: the most frequent token of a text is about a twentieth of
//! it, which is 410 of 8,192 tokens and 168,000 comparisons. A look at all indices from every row of the table would take
//! 412 million of them, one from every index 67 million, and both grow with the batch as no other part of a step does.
//! A sort by digits has no such worst case, and more launches, each with a sum over all digits between two of them.
//! Where places repeat (one row of positions for a whole batch), only one row of them is collected.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tensors::{cubes, element, empty, matrix, owned, units, vector_size, zeros};

/// Units of a cube of [`add_runs_kernel`]: along the columns, and along the rows that it adds.
const WIDTH: u32 = 32;
const HEIGHT: u32 = 4;

/// Adds row `r` of `upstream` to the row `indices[r % indices.len()]` of a table, where that lies if it has no other
/// owner; to a table of `rows` of zeros, in the type of `upstream`, where none is given.
///
/// What goes to one row is summed first, so neither the table's values nor the device changes that sum.
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
    let places = indices.meta.num_elements();
    let Runs { counts, starts, order } = collect(&indices, rows);
    let width = vector_size(&[&table, &upstream], columns);
    let vectors = columns / width;
    let types = [element(&table), element(&upstream), element(&indices)];
    add_runs_kernel::launch(
        &table.client,
        cubes(&table.client, places * vectors.div_ceil(WIDTH as usize)),
        CubeDim::new_2d(WIDTH, HEIGHT),
        width,
        table.clone().into_buffer_arg(),
        upstream.into_buffer_arg(),
        indices.into_buffer_arg(),
        counts.into_buffer_arg(),
        starts.into_buffer_arg(),
        order.into_buffer_arg(),
        places,
        vectors,
        count / places,
        types,
    );
    table
}

/// Which places name which row.
struct Runs {
    /// How often a row is named, and the sum of that behind the last one.
    counts: CubeTensor,
    /// Where in `order` its places begin.
    starts: CubeTensor,
    /// Places, those of one row together and in their order.
    order: CubeTensor,
}

fn collect(indices: &CubeTensor, rows: usize) -> Runs {
    let (client, places) = (&indices.client, indices.meta.num_elements());
    let counts = zeros(indices, [rows + 1], DType::U32);
    let starts = empty(indices, [rows], DType::U32);
    let [slots, listed, order] = [(); 3].map(|()| empty(indices, [places], DType::U32));
    let (cube_count, dim) = units(client, places);
    count_kernel::launch(
        client,
        cube_count.clone(),
        dim,
        indices.clone().into_buffer_arg(),
        counts.clone().into_buffer_arg(),
        slots.clone().into_buffer_arg(),
        places,
        element(indices),
    );
    let (row_count, row_dim) = units(client, rows);
    starts_kernel::launch(
        client,
        row_count,
        row_dim,
        counts.clone().into_buffer_arg(),
        starts.clone().into_buffer_arg(),
        rows,
    );
    list_kernel::launch(
        client,
        cube_count.clone(),
        dim,
        indices.clone().into_buffer_arg(),
        starts.clone().into_buffer_arg(),
        slots.into_buffer_arg(),
        listed.clone().into_buffer_arg(),
        places,
        element(indices),
    );
    order_kernel::launch(
        client,
        cube_count,
        dim,
        indices.clone().into_buffer_arg(),
        counts.clone().into_buffer_arg(),
        starts.clone().into_buffer_arg(),
        listed.into_buffer_arg(),
        order.clone().into_buffer_arg(),
        places,
        element(indices),
    );
    Runs { counts, starts, order }
}

/// The row of the table that a place names.
#[cube]
fn row_of<I: Numeric>(indices: &[I], place: usize) -> usize {
    u32::cast_from(indices[place]) as usize
}

#[cube(launch)]
fn count_kernel<I: Numeric>(
    indices: &[I],
    counts: &[Atomic<u32>],
    slots: &mut [u32],
    places: usize,
    #[define(I)] _type: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < places {
        slots[place] = counts[row_of::<I>(indices, place)].fetch_add(1u32);
    }
}

#[cube(launch)]
fn starts_kernel(counts: &[Atomic<u32>], starts: &mut [u32], rows: usize) {
    let row = ABSOLUTE_POS;
    if row < rows {
        let count = counts[row].load();
        if count > 0 {
            starts[row] = counts[rows].fetch_add(count);
        }
    }
}

#[cube(launch)]
fn list_kernel<I: Numeric>(
    indices: &[I],
    starts: &[u32],
    slots: &[u32],
    listed: &mut [u32],
    places: usize,
    #[define(I)] _type: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < places {
        let start = starts[row_of::<I>(indices, place)];
        listed[(start + slots[place]) as usize] = place as u32;
    }
}

#[cube(launch)]
fn order_kernel<I: Numeric>(
    indices: &[I],
    counts: &[u32],
    starts: &[u32],
    listed: &[u32],
    order: &mut [u32],
    places: usize,
    #[define(I)] _type: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < places {
        let place = listed[at];
        let row = row_of::<I>(indices, place as usize);
        let start = starts[row] as usize;
        let end = start + counts[row] as usize;
        let mut lower = start;
        let mut other = start;
        while other < end {
            lower += usize::cast_from(listed[other] < place);
            other += 1;
        }
        order[lower] = place;
    }
}

/// A cube adds what goes to one row of the table in some of its columns, if its number is where that row's places
/// begin. The places repeat, `repeats` times in all.
#[cube(launch)]
fn add_runs_kernel<T: Float, U: Float, I: Numeric, N: Size>(
    table: &mut [Vector<T, N>],
    upstream: &[Vector<U, N>],
    indices: &[I],
    counts: &[u32],
    starts: &[u32],
    order: &[u32],
    places: usize,
    vectors: usize,
    repeats: usize,
    #[define(T, U, I)] _types: [ElemType; 3],
) {
    let width = comptime!(WIDTH as usize);
    let blocks = vectors.div_ceil(width);
    let first = CUBE_POS / blocks;
    if first >= places {
        terminate!();
    }
    let row = row_of::<I>(indices, order[first] as usize);
    if starts[row] as usize != first {
        terminate!();
    }
    let length = counts[row] as usize;
    let column = CUBE_POS % blocks * width + UNIT_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if column < vectors {
        let mut at = UNIT_POS_Y as usize;
        while at < length * repeats {
            let place = at / length * places + order[first + at % length] as usize;
            sum += Vector::cast_from(upstream[place * vectors + column]);
            at += comptime!(HEIGHT as usize);
        }
    }
    let mut scratch = Shared::<[Vector<f32, N>]>::new_slice(comptime!((WIDTH * HEIGHT) as usize));
    scratch[UNIT_POS as usize] = sum;
    sync_cube();
    if UNIT_POS_Y == 0 && column < vectors {
        #[unroll]
        for slice in 1..comptime!(HEIGHT as usize) {
            sum += scratch[UNIT_POS as usize + comptime!(slice * WIDTH as usize)];
        }
        let place = row * vectors + column;
        table[place] = Vector::cast_from(Vector::<f32, N>::cast_from(table[place]) + sum);
    }
}
