//! The kernel: a block of the result, tile by tile.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::ops::cpu::output::Output;
use crate::ops::cpu::simd::run;
use crate::ops::cpu::tile::add_products;

/// Extents of a tile.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub rows: usize,
    pub columns: usize,
}

impl Tile {
    pub fn of_this_processor() -> Self {
        struct Extents;
        impl WithSimd for Extents {
            type Output = Tile;

            #[inline(always)]
            fn with_simd<S: Simd>(self, _simd: S) -> Tile {
                let (rows, vectors) = if has_many_registers::<S>() { (8, 3) } else { (6, 2) };
                Tile { rows, columns: vectors * S::F32_LANES }
            }
        }
        run(Extents)
    }
}

/// Whether 24 sums, a row of the right operand and a number fit the registers; 12 sums always do.
#[inline(always)]
const fn has_many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// What a task computes at a time.
pub(super) struct Block<'a> {
    /// Panels of the left operand.
    pub left: &'a [f32],
    /// Panels of the right operand.
    pub right: &'a [f32],
    pub depth: usize,
    /// Where in the result.
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Whether to what is there.
    pub adds: bool,
}

/// Computes the block of the result.
pub(super) fn add_block(block: Block<'_>, output: &Output<'_>) {
    run(AddBlock { block, output });
}

struct AddBlock<'a> {
    block: Block<'a>,
    output: &'a Output<'a>,
}

impl WithSimd for AddBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if has_many_registers::<S>() {
            self.tiles::<S, 8, 3>(simd);
        } else {
            self.tiles::<S, 6, 2>(simd);
        }
    }
}

impl AddBlock<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const ROWS: usize, const VECTORS: usize>(self, simd: S) {
        let Block { left, right, depth, rows, columns, adds } = self.block;
        let width = VECTORS * S::F32_LANES;
        for (column, right) in columns.clone().step_by(width).zip(right.chunks_exact(width * depth))
        {
            let columns = column..columns.end.min(column + width);
            for (row, left) in rows.clone().step_by(ROWS).zip(left.chunks_exact(ROWS * depth)) {
                let left = &left.as_chunks::<ROWS>().0[..depth];
                let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
                add_products(simd, depth, |at| left[at], right, &mut sums);
                for (row, sums) in (row..rows.end.min(row + ROWS)).zip(&sums) {
                    put(simd, sums, self.output.row(row, columns.clone()), adds);
                }
            }
        }
    }
}

/// Puts a row of a tile in its place.
#[inline(always)]
fn put<S: Simd, const VECTORS: usize>(
    simd: S,
    sums: &[S::f32s; VECTORS],
    to: &mut [f32],
    adds: bool,
) {
    if to.len() == VECTORS * S::F32_LANES {
        for (to, sum) in S::as_mut_simd_f32s(to).0.iter_mut().zip(sums) {
            *to = if adds { simd.add_f32s(*to, *sum) } else { *sum };
        }
        return;
    }
    let sums: &[f32] = bytemuck::cast_slice(sums);
    for (to, sum) in to.iter_mut().zip(sums) {
        *to = if adds { *to + sum } else { *sum };
    }
}
