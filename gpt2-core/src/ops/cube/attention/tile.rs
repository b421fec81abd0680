//! What the kernels of many tokens are made of: rows into shared memory, scores, sums of weighted rows.

use cubecl::prelude::*;

use super::batch::Rows;
use super::plan::Plan;

/// Score of a key that a query does not see: nothing is left of its exponential, and no difference of two is NaN.
pub(super) const UNSEEN: f32 = -1e30;

/// Reads rows from `begin` on into shared memory, times a factor; those from `end` on are zeros.
///
/// The rows of a tile's columns are put down `apart`: the four that a unit has follow at a quarter of the tile, so that
/// units side by side read rows side by side.
#[cube]
pub(super) fn load<T: Float, N: Size>(
    source: &[Vector<T, N>],
    rows: &Rows,
    begin: usize,
    end: usize,
    factor: f32,
    to: &mut [Vector<f32, N>],
    #[comptime] apart: bool,
    #[comptime] plan: Plan,
) {
    let vectors = comptime!(plan.vectors);
    let stride = comptime!(plan.stride());
    let units = comptime!(plan.tile.units());
    let count = comptime!(if apart { plan.tile.columns() } else { plan.tile.rows() });
    let quarter = comptime!(plan.tile.columns() / 4);
    let unit = UNIT_POS as usize;
    #[unroll(comptime!((count * vectors).div_ceil(units) <= 16))]
    for step in 0..comptime!((count * vectors).div_ceil(units)) {
        let at = step * units + unit;
        if at < comptime!(count * vectors) {
            let row = at / vectors;
            let column = at % vectors;
            let from = usize::min(begin + row, end - 1);
            let read =
                Vector::<f32, N>::cast_from(source[rows.first + from * rows.stride + column]);
            let kept = select(begin + row < end, factor, 0.0f32);
            let place = if comptime!(apart) { (row % 4) * quarter + row / 4 } else { row };
            to[place * stride + column] = read * Vector::new(kept);
        }
    }
}

/// Products of a unit's rows of a tile with its columns, row by row.
#[cube]
pub(super) fn scores<N: Size>(
    rows: &[Vector<f32, N>],
    columns: &[Vector<f32, N>],
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) -> Array<f32> {
    let height = comptime!(plan.tile.height);
    let width = comptime!(plan.tile.width);
    let stride = comptime!(plan.stride());
    let mut sums = Array::<f32>::new(comptime!(height * width));
    #[unroll]
    for i in 0..comptime!(height * width) {
        sums[i] = 0.0f32;
    }
    for at in 0..comptime!(plan.vectors) {
        let mut left = Array::<Vector<f32, N>>::new(height);
        #[unroll]
        for i in 0..height {
            left[i] = rows[(y * height + i) * stride + at];
        }
        #[unroll]
        for j in 0..width {
            let row = comptime!((j % 4) * plan.tile.columns() / 4 + j / 4 * plan.tile.units_x) + x;
            let right = columns[row * stride + at];
            #[unroll]
            for i in 0..height {
                let index = comptime!(i * width + j);
                sums[index] = add_product::<N>(left[i], right, sums[index]);
            }
        }
    }
    sums
}

/// The column of a tile that is number `j` of a unit's.
#[cube]
pub(super) fn column(x: usize, #[comptime] j: usize, #[comptime] plan: Plan) -> usize {
    4 * x + comptime!(j / 4 * 4 * plan.tile.units_x + j % 4)
}

/// `sum + a . b`.
#[cube]
pub(super) fn add_product<N: Size>(a: Vector<f32, N>, b: Vector<f32, N>, sum: f32) -> f32 {
    let mut sum = sum;
    #[unroll]
    for i in 0..N::value() {
        sum = fma(a.extract(i), b.extract(i), sum);
    }
    sum
}

/// Puts a unit's weights down for its neighbours.
#[cube]
pub(super) fn share(
    weights: &Array<f32>,
    to: &mut [Vector<f32, Const<4>>],
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    let width = comptime!(plan.tile.width);
    #[unroll]
    for i in 0..height {
        #[unroll]
        for group in 0..comptime!(width / 4) {
            let mut four = Vector::<f32, Const<4>>::new(0.0f32);
            #[unroll]
            for j in 0..4usize {
                four.insert(j, weights[comptime!(i * width + group * 4 + j)]);
            }
            let first = (y * height + i) * comptime!(plan.tile.columns() / 4);
            to[first + comptime!(group * plan.tile.units_x) + x] = four;
        }
    }
}

/// The sum of what the units have given for a row of a tile.
#[cube]
pub(super) fn total(given: &[f32], row: usize, #[comptime] plan: Plan) -> f32 {
    let mut total = 0.0f32;
    #[unroll]
    for x in 0..comptime!(plan.tile.units_x) {
        total += given[row * comptime!(plan.tile.units_x) + x];
    }
    total
}

/// Sums of rows, a unit's part of them, as zeros.
#[cube]
pub(super) fn no_sums<N: Size>(#[comptime] plan: Plan) -> Array<Vector<f32, N>> {
    let count = comptime!(plan.tile.height * plan.lanes());
    let mut sums = Array::<Vector<f32, N>>::new(count);
    #[unroll]
    for i in 0..count {
        sums[i] = Vector::new(0.0f32);
    }
    sums
}

/// Adds the rows of a tile's columns, as [`load`] has put them down `apart`, times the weights.
#[cube]
pub(super) fn add_weighted<N: Size>(
    weights: &[Vector<f32, Const<4>>],
    columns: &[Vector<f32, N>],
    sums: &mut Array<Vector<f32, N>>,
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    let lanes = comptime!(plan.lanes());
    let quarter = comptime!(plan.tile.columns() / 4);
    let stride = comptime!(plan.stride());
    for at in 0..quarter {
        let mut four = Array::<Vector<f32, Const<4>>>::new(height);
        #[unroll]
        for i in 0..height {
            four[i] = weights[(y * height + i) * quarter + at];
        }
        #[unroll]
        for k in 0..4usize {
            #[unroll]
            for lane in 0..lanes {
                let row = comptime!(k * quarter) + at;
                let value = columns[row * stride + bounded(x, lane, plan)];
                #[unroll]
                for i in 0..height {
                    let index = comptime!(i * lanes + lane);
                    let weight = Vector::<f32, N>::new(four[i].extract(k));
                    sums[index] = fma(weight, value, sums[index]);
                }
            }
        }
    }
}

/// The vector of a row that is number `lane` of a unit's, or the last one where there is none.
#[cube]
pub(super) fn bounded(x: usize, #[comptime] lane: usize, #[comptime] plan: Plan) -> usize {
    let at = x + comptime!(lane * plan.tile.units_x);
    if comptime!(plan.vectors.is_multiple_of(plan.tile.units_x)) {
        at
    } else {
        usize::min(at, comptime!(plan.vectors - 1))
    }
}

/// Writes a unit's sums, times a factor for each of its rows, to rows from `begin` on, if before `end`.
#[cube]
pub(super) fn store<T: Float, N: Size>(
    sums: &Array<Vector<f32, N>>,
    factors: &Array<f32>,
    to: &mut [Vector<T, N>],
    rows: &Rows,
    begin: usize,
    end: usize,
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    let lanes = comptime!(plan.lanes());
    #[unroll]
    for i in 0..height {
        let row = begin + y * height + i;
        #[unroll]
        for lane in 0..lanes {
            let at = x + comptime!(lane * plan.tile.units_x);
            if row < end && at < comptime!(plan.vectors) {
                let result = sums[comptime!(i * lanes + lane)] * Vector::new(factors[i]);
                to[rows.first + row * rows.stride + at] = Vector::cast_from(result);
            }
        }
    }
}
