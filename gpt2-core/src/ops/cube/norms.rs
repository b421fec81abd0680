//! Sums of squares, of many tensors at once.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::groups::{Parts, Share, groups};
use super::lanes::{Lanes, sum_of_lanes};
use super::tensors::{cubes, element, empty, vector_size, zeros};

/// Vectors that a unit adds one after the other: few enough that a sum of 40 million squares loses nothing that counts.
const STEPS: usize = 16;

/// Sums of squares of tensors, each at its place among `count` numbers of f32, which are 0 elsewhere.
///
/// The squares of a fixed number of elements are added by a cube, and then the sums of a tensor's cubes by one: a tree, whose
/// rounding errors grow with its depth and not with the number of elements. There is a launch for each group of
/// tensors, and one for all second levels.
///
/// # Panics
/// If there is no tensor, or a place is missing or not below `count`.
pub(super) fn squared_norms(xs: Vec<CubeTensor>, places: &[usize], count: usize) -> CubeTensor {
    let xs: Vec<CubeTensor> = xs.into_iter().map(into_contiguous).collect();
    let lanes = Lanes::most(&xs[0].client);
    let kinds: Vec<_> = xs.iter().map(|x| (element(x), width(x))).collect();
    let parts_of = |x: &CubeTensor| vectors(x).div_ceil(STEPS * lanes.count as usize);
    let most = xs.iter().map(parts_of).max().unwrap_or(0).max(1);
    let sums = zeros(&xs[0], [count, most], DType::F32);
    for group in groups(&sums.client, &kinds, 1, 1) {
        let mut parts = Parts::new(lanes, STEPS);
        let (of_elements, width) = kinds[group[0]];
        let mut tensors = SequenceArg::new();
        for at in group {
            let (buffer, share) = (xs[at].clone().into_buffer_arg(), parts.next(vectors(&xs[at])));
            tensors.push(SummedLaunch::new(buffer, places[at] * most, share));
        }
        squares_kernel::launch(
            &sums.client,
            cubes(&sums.client, parts.cubes),
            lanes.dim(),
            width,
            tensors,
            sums.clone().into_buffer_arg(),
            lanes.count,
            lanes.plane,
            of_elements,
        );
    }
    sums_of_rows(sums, [count, most], lanes)
}

/// The elements that a unit reads of a tensor at a time.
fn width(x: &CubeTensor) -> usize {
    vector_size(&[x], x.meta.num_elements())
}

fn vectors(x: &CubeTensor) -> usize {
    x.meta.num_elements() / width(x)
}

/// Sums of the rows of a matrix, a cube each.
fn sums_of_rows(parts: CubeTensor, [rows, columns]: [usize; 2], lanes: Lanes) -> CubeTensor {
    let sums = empty(&parts, [rows], DType::F32);
    sums_of_rows_kernel::launch(
        &sums.client,
        cubes(&sums.client, rows),
        lanes.dim(),
        parts.into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        rows,
        columns,
        lanes.count,
        lanes.plane,
    );
    sums
}

/// A tensor of a launch.
#[derive(CubeType, CubeLaunch)]
struct Summed<F: Float, N: Size> {
    x: Box<[Vector<F, N>]>,
    /// Where its first partial sum goes.
    first: usize,
    share: Share,
}

#[cube(launch)]
fn squares_kernel<F: Float, N: Size>(
    tensors: &Sequence<Summed<F, N>>,
    sums: &mut [f32],
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
    #[define(F)] _type: ElemType,
) {
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut place = 0usize;
    let mut is_any = false;
    #[unroll]
    for at in 0..tensors.len() {
        let tensor = tensors.index(at);
        if tensor.share.is_mine() {
            is_any = true;
            place = tensor.first + tensor.share.part();
            let end = tensor.share.end();
            let mut at = tensor.share.begin() + UNIT_POS as usize;
            while at < end {
                let value = Vector::<f32, N>::cast_from(tensor.x[at]);
                squares += value * value;
                at += comptime!(lanes as usize);
            }
        }
    }
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let sum = sum_of_lanes(squares.vector_sum(), &mut scratch, lanes, plane);
    // A launch may have more cubes than there are parts.
    if UNIT_POS == 0 && is_any {
        sums[place] = sum;
    }
}

#[cube(launch)]
fn sums_of_rows_kernel(
    parts: &[f32],
    sums: &mut [f32],
    rows: usize,
    columns: usize,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let mut sum = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < columns {
        sum += parts[row * columns + at];
        at += comptime!(lanes as usize);
    }
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let sum = sum_of_lanes(sum, &mut scratch, lanes, plane);
    if UNIT_POS == 0 {
        sums[row] = sum;
    }
}
