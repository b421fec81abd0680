//! Attention of new tokens to what a cache holds, which stays where it is.

use std::ops::Range;

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::decode::decode;
use super::forward::forward_cached;
use super::launch::{addresses, cubes, element, empty, extents, owned};
use super::places::{Places, RowPlaces};
use super::plan::vector_size;

/// New tokens of a row up to which each goes through the cache by itself.
const FEW: usize = 8;
/// Units of a cube that copies.
const UNITS: u32 = 256;

/// Writes keys and values of new tokens into their places of the cache, then attends from each to all up to its own.
/// Gives output (0 for padding), keys and values.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`
/// - keys, values: `[rows or more, head, capacity, head_dim]`
/// - places: for each row where its tokens go; those of `seq` that are more are padding
/// - output: `[rows, seq, embd]`
pub(in crate::ops::cube) fn attend(
    qkv: CubeTensor,
    keys: CubeTensor,
    values: CubeTensor,
    places: &[Range<usize>],
    factor: f32,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (qkv, keys, values) = (into_contiguous(qkv), owned(keys), owned(values));
    let [rows, seq, width] = extents(&qkv);
    if rows * seq * width == 0 {
        return (empty(&qkv, [rows, seq, width / 3], qkv.dtype), keys, values);
    }
    let seen = places.iter().map(|places| places.end).max().unwrap_or(0);
    let places = Places::new(&qkv, places);
    if seq > 1 {
        write(&qkv, &keys, &values, places.clone());
    }
    let (all_keys, all_values) = (keys.clone(), values.clone());
    let output = if seq <= FEW {
        decode(qkv, all_keys, all_values, places, seen, factor)
    } else {
        forward_cached(qkv, all_keys, all_values, places, factor)
    };
    (output, keys, values)
}

/// Writes the keys and values of `qkv` into their places.
fn write(qkv: &CubeTensor, keys: &CubeTensor, values: &CubeTensor, places: Places) {
    let [rows, seq, _] = extents(qkv);
    let [_, heads, capacity, head_dim] = extents(keys);
    let size = vector_size(head_dim);
    let count = rows * seq * heads * head_dim / size;
    write_new::launch(
        &qkv.client,
        cubes(&qkv.client, count.div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        addresses([qkv, keys]),
        size,
        qkv.clone().into_buffer_arg(),
        places.argument(),
        rows,
        keys.clone().into_buffer_arg(),
        values.clone().into_buffer_arg(),
        heads,
        seq,
        capacity,
        head_dim / size,
        [element(qkv), element(keys)],
    );
}

/// A unit copies one vector of a key, and that of the value.
#[cube(launch, address_type = "dynamic")]
fn write_new<T: Float, C: Float, N: Size>(
    qkv: &[Vector<T, N>],
    places: &RowPlaces,
    rows: usize,
    keys: &mut [Vector<C, N>],
    values: &mut [Vector<C, N>],
    heads: usize,
    seq: usize,
    capacity: usize,
    #[comptime] vectors: usize,
    #[define(T, C)] _types: [ElemType; 2],
) {
    let embd = heads * vectors;
    let (token, column) = (ABSOLUTE_POS / embd, ABSOLUTE_POS % embd);
    let (row, at) = (token / seq, token % seq);
    if row >= rows {
        terminate!();
    }
    let (past, count) = places.of_row(row);
    if at < count {
        let place = past + at;
        let (head, lane) = (column / vectors, column % vectors);
        let to = ((row * heads + head) * capacity + place) * vectors + lane;
        keys[to] = Vector::cast_from(qkv[(token * 3 + 1) * embd + column]);
        values[to] = Vector::cast_from(qkv[(token * 3 + 2) * embd + column]);
    }
}
