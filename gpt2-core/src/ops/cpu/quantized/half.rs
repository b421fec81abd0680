//! Products with weights in bf16: they are widened in the innermost cache, and the arithmetic is that of `f32`.

use half::bf16;
use pulp::{Simd, WithSimd};

use super::super::level::{Level, level};
use super::super::simd;
use super::super::tile::add_products;
use super::by_panels;
use crate::quantize::{HalfMatrix, PANEL};

/// Depth that is widened at a time.
const DEPTH: usize = 64;
/// Rows that go over what was widened.
const ROWS: usize = 24;

/// As [`super::product`].
pub(super) fn product(
    x: &[f32],
    rows: usize,
    matrix: &HalfMatrix,
    bias: Option<&[f32]>,
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    product_at(level(), x, rows, matrix, bias, output, then);
}

pub(super) fn product_at(
    level: Level,
    x: &[f32],
    rows: usize,
    matrix: &HalfMatrix,
    bias: Option<&[f32]>,
    output: &mut [f32],
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let [depth, columns] = matrix.extents();
    by_panels([rows, depth, columns], output, then, |panel, output, first, sums| {
        let bias = bias.map(|bias| &bias[panel * PANEL..]);
        let weights = matrix.panel(panel);
        simd::run_at(level, Panel { x, depth, weights, bias, output, first, sums });
    });
}

/// A panel of columns of the product, for all rows.
struct Panel<'a, 'b> {
    x: &'a [f32],
    depth: usize,
    weights: &'a [bf16],
    bias: Option<&'a [f32]>,
    output: &'a mut [&'b mut [f32]],
    first: usize,
    sums: &'a mut [[f32; PANEL]],
}

impl WithSimd for Panel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Rows and vectors of a tile: as many sums as there are registers for.
        match S::F32_LANES {
            16 => self.blocks::<S, 6, 4>(simd),
            8 => self.blocks::<S, 4, 2>(simd),
            _ => self.blocks::<S, 2, 2>(simd),
        }
    }
}

impl Panel<'_, '_> {
    #[inline(always)]
    fn blocks<S: Simd, const M: usize, const V: usize>(self, simd: S) {
        let Self { x, depth, weights, bias, output, first, sums } = self;
        let width = PANEL.min(output.first().map_or(0, |row| row.len() - first));
        let mut wide = [0.0; DEPTH * PANEL];
        for (x, output) in x.chunks(ROWS * depth).zip(output.chunks_mut(ROWS)) {
            let sums = &mut sums[..output.len()];
            for sums in sums.iter_mut() {
                match bias {
                    Some(bias) => sums[..width].copy_from_slice(&bias[..width]),
                    None => sums.fill(0.0),
                }
            }
            for (at, weights) in weights.chunks(DEPTH * PANEL).enumerate() {
                let part =
                    Part { x, stride: depth, from: at * DEPTH, depth: weights.len() / PANEL };
                for strip in (0..PANEL).step_by(V * S::F32_LANES) {
                    let wide = widen(weights, strip, V * S::F32_LANES, &mut wide);
                    part.rows::<S, M, V>(simd, wide, strip, sums);
                }
            }
            for (sums, output) in sums.iter().zip(output) {
                output[first..first + width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Some columns of a panel as `f32`.
#[inline(always)]
fn widen<'a>(weights: &[bf16], first: usize, width: usize, wide: &'a mut [f32]) -> &'a [f32] {
    let wide = &mut wide[..weights.len() / PANEL * width];
    for (wide, weights) in wide.chunks_exact_mut(width).zip(weights.chunks_exact(PANEL)) {
        for (wide, weight) in wide.iter_mut().zip(&weights[first..first + width]) {
            *wide = f32::from_bits(u32::from(weight.to_bits()) << 16);
        }
    }
    wide
}

/// A part of the depth of some rows.
struct Part<'a> {
    x: &'a [f32],
    stride: usize,
    from: usize,
    depth: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        wide: &[f32],
        strip: usize,
        sums: &mut [[f32; PANEL]],
    ) {
        let mut row = 0;
        while row + M <= sums.len() {
            self.tile::<S, M, V>(simd, wide, strip, row, sums);
            row += M;
        }
        while row < sums.len() {
            self.tile::<S, 1, V>(simd, wide, strip, row, sums);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        wide: &[f32],
        strip: usize,
        row: usize,
        sums: &mut [[f32; PANEL]],
    ) {
        let mut left: [&[f32]; M] = [&[]; M];
        let mut tile = [[simd.splat_f32s(0.0); V]; M];
        for m in 0..M {
            left[m] = &self.x[(row + m) * self.stride + self.from..][..self.depth];
            let sums = S::as_simd_f32s(&sums[row + m][strip..]).0;
            tile[m].copy_from_slice(&sums[..V]);
        }
        let step = |depth: usize| {
            let mut step = [0.0; M];
            for m in 0..M {
                step[m] = left[m][depth];
            }
            step
        };
        add_products(simd, self.depth, step, wide, &mut tile);
        for m in 0..M {
            let sums = S::as_mut_simd_f32s(&mut sums[row + m][strip..]).0;
            sums[..V].copy_from_slice(&tile[m]);
        }
    }
}
