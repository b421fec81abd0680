//! The innermost loop of all products: a tile of the result, kept in registers.

use pulp::Simd;

use crate::ops::cpu::simd::mul_add;

/// `sums[row] += left[row] * right` for every step of the depth, of which `left` gives a number for each
/// row and `right` holds a row of `VECTORS` vectors.
#[inline(always)]
pub(in crate::ops) fn add_products<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    left: impl Iterator<Item = [f32; ROWS]>,
    right: &[f32],
    sums: &mut [[S::f32s; VECTORS]; ROWS],
) {
    let mut inner = *sums;
    let right = S::as_simd_f32s(right).0;
    for (left, right) in left.zip(right.chunks_exact(VECTORS)) {
        let right: [S::f32s; VECTORS] = std::array::from_fn(|at| right[at]);
        for row in 0..ROWS {
            let left = simd.splat_f32s(left[row]);
            for vector in 0..VECTORS {
                inner[row][vector] = mul_add(simd, left, right[vector], inner[row][vector]);
            }
        }
    }
    *sums = inner;
}
