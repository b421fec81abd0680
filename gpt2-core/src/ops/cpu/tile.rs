//! The innermost loop of all products: a tile of the result, kept in registers.

use pulp::Simd;

use crate::ops::cpu::simd::mul_add;

/// `sums[row] += left(at)[row] * right[at]` for every step of the depth, of which `left` gives a number
/// for each row and `right` holds `VECTORS` vectors.
#[inline(always)]
pub(in crate::ops) fn add_products<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    depth: usize,
    left: impl Fn(usize) -> [f32; ROWS],
    right: &[f32],
    sums: &mut [[S::f32s; VECTORS]; ROWS],
) {
    // A copy, which stays in registers.
    let mut inner = *sums;
    // Arrays and one length for all, told in a way that makes the bounds checks go away.
    let right = &S::as_simd_f32s(right).0.as_chunks::<VECTORS>().0[..depth];
    for at in 0..depth {
        let left = left(at);
        let right = right[at];
        for row in 0..ROWS {
            let left = simd.splat_f32s(left[row]);
            for vector in 0..VECTORS {
                inner[row][vector] = mul_add(simd, left, right[vector], inner[row][vector]);
            }
        }
    }
    *sums = inner;
}
