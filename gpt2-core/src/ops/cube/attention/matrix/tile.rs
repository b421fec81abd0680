//! What the kernels on matrix units are made of.

use cubecl::prelude::*;

use super::plan::Plan;
use super::units::{PIECE, PLANE, Products};
use crate::ops::cube::attention::batch::Rows;

/// Which of the plane's rows a unit has, and which half of it: every other vector of four.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// First row of the plane.
    pub plane: usize,
    /// The row among all of the cube.
    pub row: usize,
    pub half: usize,
}

#[cube]
pub fn place() -> Place {
    let unit = UNIT_POS as usize;
    let plane = unit / PLANE * PIECE;
    Place { plane, row: plane + unit % PLANE / 2, half: unit % 2 }
}

/// Reads `count` rows from `begin` on into shared memory; those from `end` on are zeros.
#[cube]
pub fn load<T: Float, N: Size>(
    source: &[Vector<T, N>],
    rows: &Rows,
    begin: usize,
    end: usize,
    to: &mut [Vector<T, N>],
    #[comptime] count: usize,
    #[comptime] plan: Plan,
) {
    let vectors = comptime!(plan.vectors());
    let stride = comptime!(plan.stride() / plan.size);
    #[unroll]
    for turn in 0..comptime!((count * vectors).div_ceil(plan.units())) {
        let at = UNIT_POS as usize + comptime!(turn * plan.units());
        if at < comptime!(count * vectors) {
            let (row, column) = (at / vectors, at % vectors);
            let from = usize::min(begin + row, end - 1);
            let read = source[rows.first + from * rows.stride + column];
            let zero = Vector::<T, N>::new(T::from_int(0));
            to[row * stride + column] = select(begin + row < end, read, zero);
        }
    }
}

/// Scores of the plane's rows of a tile with its columns.
#[cube]
pub fn multiply<T: Float, N: Size, P: Products>(
    rows: &[Vector<T, N>],
    columns: &[Vector<T, N>],
    scores: &mut [Vector<f32, Const<4>>],
    plane: usize,
    #[comptime] plan: Plan,
) {
    let mut products = P::none(comptime!(plan.columns / PIECE));
    P::add::<T, N, N>(
        &mut products,
        &rows[plane * comptime!(plan.stride() / plan.size)..],
        comptime!(plan.stride()),
        columns,
        comptime!(plan.stride()),
        comptime!(plan.head_dim),
        true,
    );
    let stride = comptime!(plan.scores_stride());
    P::store(&products, &mut scores[plane * comptime!(plan.scores_stride() / 4)..], stride);
}

/// Adds a tile's columns, weighted, to the sums of the plane's rows.
#[cube]
pub fn add_weighted<T: Float, N: Size, P: Products>(
    sums: &mut Sequence<P::Sum>,
    weights: &[Vector<T, Const<4>>],
    columns: &[Vector<T, N>],
    plane: usize,
    #[comptime] plan: Plan,
) {
    P::add::<T, Const<4>, N>(
        sums,
        &weights[plane * comptime!(plan.weights_stride() / 4)..],
        comptime!(plan.weights_stride()),
        columns,
        comptime!(plan.stride()),
        comptime!(plan.columns),
        false,
    );
}

/// The number of a tile's column: element `i` of vector `four` of a unit.
#[cube]
pub fn column(half: usize, #[comptime] four: usize, #[comptime] i: usize) -> usize {
    half * 4 + comptime!(four * 8 + i)
}

/// Writes 16 rows a plane of sums that are in `scores`, times a factor, to rows from `begin` on, if before `end`.
#[cube]
pub fn store<T: Float, N: Size>(
    scores: &[Vector<f32, Const<4>>],
    factor: f32,
    to: &mut [Vector<T, N>],
    rows: &Rows,
    begin: usize,
    end: usize,
    #[comptime] plan: Plan,
) {
    let vectors = comptime!(plan.vectors());
    let lane = UNIT_POS as usize % PLANE;
    let plane = UNIT_POS as usize / PLANE * PIECE;
    #[unroll]
    for turn in 0..comptime!((PIECE * vectors).div_ceil(PLANE)) {
        let at = lane + comptime!(turn * PLANE);
        let (row, column) = (plane + at / vectors, at % vectors);
        if at < comptime!(PIECE * vectors) && begin + row < end {
            let first =
                row * comptime!(plan.scores_stride() / 4) + column * comptime!(plan.size / 4);
            let mut vector = Vector::<T, N>::new(T::from_int(0));
            #[unroll]
            for four in 0..comptime!(plan.size / 4) {
                let read = scores[first + four];
                #[unroll]
                for i in 0..4usize {
                    vector.insert(comptime!(four * 4 + i), T::cast_from(read.extract(i) * factor));
                }
            }
            to[rows.first + (begin + row) * rows.stride + column] = vector;
        }
    }
}
