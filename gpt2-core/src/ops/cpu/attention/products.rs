//! Products of rows with panels.

use pulp::Simd;

use super::Head;
use super::STRIP;
use super::panels::Panels;
use crate::ops::cpu::tile::add_products;

/// Rows of a tile.
pub(super) const ROWS: usize = 6;

/// Numbers that a tile is wide: six rows of four vectors take 24 registers, of two 12.
#[inline(always)]
pub(super) const fn width<S: Simd>() -> usize {
    (if S::REGISTER_COUNT >= 32 { 4 } else { 2 }) * S::F32_LANES
}

/// Some queries and what they see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip {
    pub rows: usize,
    /// Keys that the last of them sees.
    pub seen: usize,
    /// Between the first scores of two rows: room for whole tiles either way.
    pub stride: usize,
}

impl Strip {
    #[inline(always)]
    pub fn new(head: &Head<'_>, first: usize, width: usize) -> Self {
        let rows = STRIP.min(head.query.len - first);
        let seen = head.sees(first + rows - 1);
        Self { rows, seen, stride: seen.next_multiple_of(width) + ROWS }
    }
}

/// Calls `put` with the row, the first column and the numbers of `rows(row) @ panels`, for as many
/// panels as hold `columns`.
///
/// # Shapes
/// - rows: `depth` numbers for each of `count`
/// - panels: `[columns / width][depth or more][width]`
#[inline(always)]
pub(super) fn multiply<'a, S: Simd>(
    simd: S,
    (count, depth): (usize, usize),
    rows: impl Fn(usize) -> &'a [f32],
    panels: Panels<'_>,
    columns: usize,
    put: impl FnMut(usize, usize, &[f32]),
) {
    if S::REGISTER_COUNT >= 32 {
        by_tiles::<S, 4>(simd, (count, depth), rows, panels, columns, put);
    } else {
        by_tiles::<S, 2>(simd, (count, depth), rows, panels, columns, put);
    }
}

#[inline(always)]
fn by_tiles<'a, S: Simd, const VECTORS: usize>(
    simd: S,
    (count, depth): (usize, usize),
    rows: impl Fn(usize) -> &'a [f32],
    panels: Panels<'_>,
    columns: usize,
    mut put: impl FnMut(usize, usize, &[f32]),
) {
    let width = VECTORS * S::F32_LANES;
    let used = panels.values.chunks_exact(width * panels.depth).take(columns.div_ceil(width));
    for (panel, values) in used.enumerate() {
        for first in (0..count).step_by(ROWS) {
            // Rows that are not there are the last one again.
            let rows: [&[f32]; ROWS] =
                std::array::from_fn(|at| &rows((first + at).min(count - 1))[..depth]);
            let left = |at: usize| std::array::from_fn(|row| rows[row][at]);
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            add_products(simd, depth, left, values, &mut sums);
            for (row, sums) in (first..count.min(first + ROWS)).zip(&sums) {
                put(row, panel * width, bytemuck::cast_slice(sums));
            }
        }
    }
}

/// Adds `left^T @ panels` to `sums`, for the first `count` columns of `left`.
///
/// # Shapes
/// - left: `[depth][stride]`
/// - panels: `[panels][depth][width]`
/// - sums: `[panels][count rounded up to whole tiles, or more][width]`
#[inline(always)]
pub(super) fn add_transposed<S: Simd>(
    simd: S,
    left: &[f32],
    strip: Strip,
    panels: Panels<'_>,
    sums: &mut [f32],
) {
    if S::REGISTER_COUNT >= 32 {
        add_by_tiles::<S, 4>(simd, left, strip, panels, sums);
    } else {
        add_by_tiles::<S, 2>(simd, left, strip, panels, sums);
    }
}

#[inline(always)]
fn add_by_tiles<S: Simd, const VECTORS: usize>(
    simd: S,
    left: &[f32],
    strip: Strip,
    panels: Panels<'_>,
    sums: &mut [f32],
) {
    let width = VECTORS * S::F32_LANES;
    let size = sums.len() / (panels.values.len() / (width * panels.depth));
    let panels = panels.values.chunks_exact(width * panels.depth);
    for (panel, sums) in panels.zip(sums.chunks_exact_mut(size)) {
        let sums = S::as_mut_simd_f32s(sums).0.chunks_exact_mut(ROWS * VECTORS);
        for (first, sums) in (0..strip.seen).step_by(ROWS).zip(sums) {
            let left = |at: usize| {
                let row = &left[at * strip.stride + first..][..ROWS];
                std::array::from_fn(|at| row[at])
            };
            let mut tile: [[S::f32s; VECTORS]; ROWS] =
                std::array::from_fn(|row| std::array::from_fn(|at| sums[row * VECTORS + at]));
            add_products(simd, strip.rows, left, panel, &mut tile);
            for (to, from) in sums.chunks_exact_mut(VECTORS).zip(&tile) {
                to.copy_from_slice(from);
            }
        }
    }
}
