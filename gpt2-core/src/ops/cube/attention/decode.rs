//! Attention of one new token or a few to what a cache holds.
//!
//! A cube goes through a part of the keys for one query of one head. Where there are few of these, the keys are divided
//! among many cubes, and a second kernel puts their results together (Dao et al. 2023, "Flash-Decoding").

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{addresses, cubes, element, empty, extents};
use super::places::{Places, RowPlaces};
use super::plan::vector_size;
use super::tile::{UNSEEN, add_product};
use crate::ops::cube::tensors::busy;

/// Units of a cube.
const UNITS: usize = 256;
/// Its square root: what all units give is put together in two steps of so many.
const SIDE: usize = 16;
/// Keys of a cube at most: their scores are in shared memory.
const KEYS: usize = 1024;
/// Keys of a cube at least, where several share a head.
const FEWEST: usize = 64;
/// Products in shared memory at a time.
const PRODUCTS: usize = 1152;

/// What each new token makes of what it sees; 0 for padding. No place is after `seen`.
///
/// Where there is one new token for each row, its key and value are written into the cache on the way.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`
/// - keys, values: `[rows or more, head, capacity, head_dim]`, contiguous
pub(super) fn decode(
    qkv: CubeTensor,
    keys: CubeTensor,
    values: CubeTensor,
    places: Places,
    seen: usize,
    factor: f32,
) -> CubeTensor {
    let [rows, seq, width] = extents(&qkv);
    let [_, heads, capacity, head_dim] = extents(&keys);
    let client = qkv.client.clone();
    let queries = rows * seq * heads;
    let part = keys_of_a_cube(&client, queries, seen);
    let parts = seen.div_ceil(part).max(1);
    let output = empty(&qkv, [rows, seq, width / 3], qkv.dtype);
    let (size, whole) = (vector_size(head_dim), parts == 1);
    let sums =
        if whole { output.clone() } else { empty(&qkv, [queries, parts, head_dim], DType::F32) };
    let states = empty(&qkv, [queries, parts, 2], DType::F32);
    let vectors = head_dim / size;
    let block = (PRODUCTS / (vectors | 1)).max(1);
    let block = 1 << block.min(UNITS).ilog2();
    let plan = Plan { vectors, block, whole, writes: seq == 1 };
    let types = [element(&qkv), element(&keys), element(&sums)];
    attend_part::launch(
        &client,
        cubes(&client, queries * parts),
        CubeDim::new_1d(UNITS as u32),
        addresses([&qkv, &keys, &sums]),
        size,
        qkv.into_buffer_arg(),
        keys.into_buffer_arg(),
        values.into_buffer_arg(),
        places.argument(),
        sums.clone().into_buffer_arg(),
        states.clone().into_buffer_arg(),
        queries,
        heads,
        seq,
        capacity,
        part,
        parts,
        factor,
        plan,
        types,
    );
    if !whole {
        put_together(sums, states, &output, parts, vectors);
    }
    output
}

/// Makes the output of the parts of every query.
fn put_together(
    sums: CubeTensor,
    states: CubeTensor,
    output: &CubeTensor,
    parts: usize,
    vectors: usize,
) {
    let [_, _, head_dim] = extents(&sums);
    let units = output.meta.num_elements() / head_dim * vectors;
    join::launch(
        &output.client,
        cubes(&output.client, units.div_ceil(UNITS)),
        CubeDim::new_1d(UNITS as u32),
        addresses([&sums, output]),
        head_dim / vectors,
        sums.into_buffer_arg(),
        states.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        parts,
        vectors,
        element(output),
    );
}

/// So many that there are cubes for the whole device, where that is possible.
fn keys_of_a_cube(client: &Client, queries: usize, seen: usize) -> usize {
    let parts = busy(client).div_ceil(queries);
    seen.div_ceil(parts).next_multiple_of(FEWEST).clamp(FEWEST, KEYS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reduction {
    Highest,
    Sum,
}

/// The constants of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    /// Vectors in a row of a head.
    vectors: usize,
    /// Keys whose products are in shared memory at a time.
    block: usize,
    /// Whether a cube has all keys of its query.
    whole: bool,
    /// Whether the query's own key and value are yet to be written.
    writes: bool,
}

impl Plan {
    /// Groups of units that have a row of values each.
    fn groups(self) -> usize {
        UNITS / self.vectors
    }
}

/// One query and one part of its keys. Unless it is the whole, the sum that is written is of exponentials, and beside it
/// are written the highest score and the total.
#[cube(launch, address_type = "dynamic")]
fn attend_part<T: Float, C: Float, O: Float, N: Size>(
    qkv: &[Vector<T, N>],
    keys: &mut [Vector<C, N>],
    values: &mut [Vector<C, N>],
    places: &RowPlaces,
    sums: &mut [Vector<O, N>],
    states: &mut [f32],
    queries: usize,
    heads: usize,
    seq: usize,
    capacity: usize,
    part: usize,
    parts: usize,
    factor: f32,
    #[comptime] plan: Plan,
    #[define(T, C, O)] _types: [ElemType; 3],
) {
    let vectors = comptime!(plan.vectors);
    if CUBE_POS >= queries * parts {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let query = CUBE_POS / parts;
    let (token, head) = (query / heads, query % heads);
    let (row, at) = (token / seq, token % seq);
    let (past, count) = places.of_row(row);
    let seen = select(at < count, past + at + 1, 0usize);
    let begin = usize::min(CUBE_POS % parts * part, seen);
    let length = usize::min(part, seen - begin);
    let first = ((row * heads + head) * capacity + begin) * vectors;

    let mut asked = Shared::<[Vector<f32, N>]>::new_slice(vectors);
    let mut scores = Shared::<[f32]>::new_slice(KEYS);
    let mut exchanged = Shared::<[f32]>::new_slice(UNITS);
    if unit < vectors {
        let from = (token * 3 * heads + head) * vectors + unit;
        asked[unit] = Vector::<f32, N>::cast_from(qkv[from]) * Vector::new(factor);
    }
    if comptime!(plan.writes) {
        // The cube that has the last key is the only one that reads it.
        if unit < vectors && length > 0 && begin + length == seen {
            let from = ((token * 3 + 1) * heads + head) * vectors + unit;
            let to = first + (length - 1) * vectors + unit;
            keys[to] = Vector::cast_from(qkv[from]);
            values[to] = Vector::cast_from(qkv[from + heads * vectors]);
        }
        sync_storage();
    }
    sync_cube();
    score::<C, N>(&*keys, first, length, &asked, &mut scores, plan);

    let mut high = UNSEEN.runtime();
    for key in range_stepped(unit, length, UNITS) {
        high = f32::max(high, scores[key]);
    }
    let high = reduced(high, &mut exchanged, Reduction::Highest);
    let mut total = 0.0f32;
    for key in range_stepped(unit, length, UNITS) {
        let weight = f32::exp(scores[key] - high);
        scores[key] = weight;
        total += weight;
    }
    let total = reduced(total, &mut exchanged, Reduction::Sum);
    if unit == 0 {
        states[CUBE_POS * 2] = high;
        states[CUBE_POS * 2 + 1] = total;
    }
    let share =
        if comptime!(plan.whole) { 1.0f32 / f32::max(total, 1e-30f32) } else { 1.0f32.runtime() };
    weigh::<C, O, N>(&*values, first, length, share, &scores, sums, CUBE_POS * vectors, plan);
}

/// The query's products with the keys, block after block: each unit multiplies vectors, then adds up the products of a
/// key.
#[cube]
fn score<C: Float, N: Size>(
    keys: &[Vector<C, N>],
    first: usize,
    length: usize,
    asked: &[Vector<f32, N>],
    scores: &mut [f32],
    #[comptime] plan: Plan,
) {
    let vectors = comptime!(plan.vectors);
    let block = comptime!(plan.block);
    let stride = comptime!(plan.vectors | 1);
    let unit = UNIT_POS as usize;
    let mut products = Shared::<[f32]>::new_slice(comptime!(block * stride));
    for step in 0..length.div_ceil(block) {
        let start = step * block;
        #[unroll]
        for turn in 0..comptime!((block * vectors).div_ceil(UNITS)) {
            let at = unit + comptime!(turn * UNITS);
            if at < comptime!(block * vectors) {
                let (key, lane) = (at / vectors, at % vectors);
                let from = usize::min(start + key, length - 1) * vectors + lane;
                let read = Vector::<f32, N>::cast_from(keys[first + from]);
                products[key * stride + lane] =
                    add_product::<N>(asked[lane], read, 0.0f32.runtime());
            }
        }
        sync_cube();
        if unit < block && start + unit < length {
            let mut sum = 0.0f32;
            for lane in 0..vectors {
                sum += products[unit * stride + lane];
            }
            scores[start + unit] = sum;
        }
        sync_cube();
    }
}

/// Adds up the values, weighted; groups of units have every so many of them.
#[cube]
fn weigh<C: Float, O: Float, N: Size>(
    values: &[Vector<C, N>],
    first: usize,
    length: usize,
    share: f32,
    weights: &[f32],
    to: &mut [Vector<O, N>],
    place: usize,
    #[comptime] plan: Plan,
) {
    let vectors = comptime!(plan.vectors);
    let groups = comptime!(plan.groups());
    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / vectors, unit % vectors);
    let mut parts = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if group < groups {
        for key in range_stepped(group, length, groups) {
            let read = Vector::<f32, N>::cast_from(values[first + key * vectors + lane]);
            sum = fma(Vector::new(weights[key]), read, sum);
        }
    }
    parts[unit] = sum;
    sync_cube();
    if unit < vectors {
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for group in 0..groups {
            sum += parts[group * vectors + unit];
        }
        to[place + unit] = Vector::cast_from(sum * Vector::new(share));
    }
}

/// The highest of the numbers that all units give, or their sum.
#[cube]
fn reduced(number: f32, numbers: &mut [f32], #[comptime] of: Reduction) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    numbers[unit] = number;
    sync_cube();
    let mut result = number;
    if unit < SIDE {
        #[unroll]
        for at in 1..SIDE {
            result = merge(result, numbers[unit + at * SIDE], of);
        }
        numbers[unit] = result;
    }
    sync_cube();
    let mut result = numbers[0];
    #[unroll]
    for at in 0..comptime!(SIDE - 1) {
        result = merge(result, numbers[at + 1], of);
    }
    result
}

#[cube]
fn merge(a: f32, b: f32, #[comptime] of: Reduction) -> f32 {
    match of {
        Reduction::Highest => f32::max(a, b),
        Reduction::Sum => a + b,
    }
}

/// Puts the parts of each query together; a unit has one vector of its sum.
#[cube(launch, address_type = "dynamic")]
fn join<T: Float, N: Size>(
    sums: &[Vector<f32, N>],
    states: &[f32],
    output: &mut [Vector<T, N>],
    parts: usize,
    #[comptime] vectors: usize,
    #[define(T)] _type: ElemType,
) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let (query, lane) = (ABSOLUTE_POS / vectors, ABSOLUTE_POS % vectors);
    let mut high = UNSEEN.runtime();
    for part in 0..parts {
        high = f32::max(high, states[(query * parts + part) * 2]);
    }
    let mut total = 0.0f32;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for part in 0..parts {
        let at = query * parts + part;
        let shrink = f32::exp(states[at * 2] - high);
        total += shrink * states[at * 2 + 1];
        sum = fma(Vector::new(shrink), sums[at * vectors + lane], sum);
    }
    output[ABSOLUTE_POS] = Vector::cast_from(sum * Vector::new(1.0f32 / f32::max(total, 1e-30f32)));
}
