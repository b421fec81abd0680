//! Rows of a cache that change places.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{addresses, cubes, element, empty, extents, owned, pairs};
use super::plan::vector_size;

/// Units of a cube.
const UNITS: u32 = 256;

/// Writes the first `filled` places of the rows `from` over the rows from `first` on.
///
/// All rows are taken out before one is written, so that rows may change with each other.
///
/// # Shapes
/// - cached: `[rows, head, capacity, head_dim]`
pub(in crate::ops::cube) fn move_rows(
    cached: CubeTensor,
    from: &[usize],
    first: usize,
    filled: usize,
) -> CubeTensor {
    let cached = owned(cached);
    let [_, heads, _, head_dim] = extents(&cached);
    let moved = from.iter().enumerate().filter(|&(at, &row)| row != first + at);
    let (to, from): (Vec<usize>, Vec<usize>) = moved.map(|(at, &row)| (first + at, row)).unzip();
    if from.is_empty() || filled * heads * head_dim == 0 {
        return cached;
    }
    let taken = empty(&cached, [from.len(), heads, filled, head_dim], cached.dtype);
    let all: Vec<usize> = (0..from.len()).collect();
    copy(&cached, &taken, &from, &all, filled);
    copy(&taken, &cached, &all, &to, filled);
    cached
}

/// Copies the first places of rows `from` to rows `to`.
fn copy(source: &CubeTensor, target: &CubeTensor, from: &[usize], to: &[usize], filled: usize) {
    let [_, heads, capacity, head_dim] = extents(source);
    let [_, _, other_capacity, _] = extents(target);
    let (client, size) = (&source.client, vector_size(head_dim));
    let pairs = pairs(source, from.iter().zip(to).map(|(&from, &to)| [from, to]));
    let count = from.len() * heads * filled * head_dim / size;
    copy_rows::launch(
        client,
        cubes(client, count.div_ceil(UNITS as usize)),
        CubeDim::new_1d(UNITS),
        addresses([source, target]),
        size,
        source.clone().into_buffer_arg(),
        pairs.into_buffer_arg(),
        target.clone().into_buffer_arg(),
        heads,
        filled * head_dim / size,
        capacity * head_dim / size,
        other_capacity * head_dim / size,
        element(source),
    );
}

/// A unit copies one vector; a head has `filled` of them, in `size` and `other_size`.
#[cube(launch, address_type = "dynamic")]
fn copy_rows<T: Float, N: Size>(
    source: &[Vector<T, N>],
    pairs: &[u32],
    target: &mut [Vector<T, N>],
    heads: usize,
    filled: usize,
    size: usize,
    other_size: usize,
    #[define(T)] _type: ElemType,
) {
    let (number, at) = (ABSOLUTE_POS / filled, ABSOLUTE_POS % filled);
    let (pair, head) = (number / heads, number % heads);
    if pair * 2 >= pairs.len() {
        terminate!();
    }
    let (from, to) = (pairs[pair * 2] as usize, pairs[pair * 2 + 1] as usize);
    target[(to * heads + head) * other_size + at] = source[(from * heads + head) * size + at];
}
