//! What an optimizer does with all parameters: norms, sums of gradients, and the step of AdamW.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::lanes::{Lanes, sum_of_lanes};
use super::tensors::{Sweep, cubes, element, empty, matrix, owned, sweep, zeros};
use crate::ops::AdamWUpdate;

/// Vectors that a unit adds one after the other: few enough that a sum of 40 million squares loses nothing that counts.
const STEPS: usize = 16;

/// Sum of squares, an f32 `[1]`.
///
/// The squares of a fixed number of elements are added by a cube, and then the sums of the cubes by one: a tree, whose
/// rounding errors grow with its depth and not with the number of elements.
pub(super) fn squared_norm(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let Sweep { width, vectors, .. } = sweep(&[&x], x.meta.num_elements());
    let lanes = Lanes::most(&x.client);
    let vectors_of_part = STEPS * lanes.count as usize;
    let parts = vectors.div_ceil(vectors_of_part);
    let (sums, of_x) = (empty(&x, [parts], DType::F32), element(&x));
    sum_of_parts_kernel::launch(
        &sums.client,
        cubes(&sums.client, parts),
        lanes.dim(),
        width,
        x.into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        vectors,
        vectors_of_part,
        0,
        true,
        lanes.count,
        lanes.plane,
        of_x,
    );
    if parts == 1 {
        return sums;
    }
    let (sum, of_sums) = (empty(&sums, [1], DType::F32), element(&sums));
    sum_of_parts_kernel::launch(
        &sum.client,
        CubeCount::new_single(),
        lanes.dim(),
        1,
        sums.into_buffer_arg(),
        sum.clone().into_buffer_arg(),
        parts,
        parts,
        0,
        false,
        lanes.count,
        lanes.plane,
        of_sums,
    );
    sum
}

/// `sum + factor * part`, where `sum` lies if it has no other owner.
pub(super) fn add_scaled(sum: CubeTensor, part: CubeTensor, factor: f32) -> CubeTensor {
    let (sum, part) = (owned(sum), into_contiguous(part));
    let Sweep { width, vectors, count, dim } = sweep(&[&sum, &part], sum.meta.num_elements());
    let types = [&sum, &part].map(element);
    add_scaled_kernel::launch(
        &sum.client,
        count,
        dim,
        width,
        sum.clone().into_buffer_arg(),
        part.into_buffer_arg(),
        factor,
        vectors,
        types,
    );
    sum
}

/// Zeros of the shape and type of a tensor.
pub(super) fn zeros_like(x: &CubeTensor) -> CubeTensor {
    zeros(x, x.meta.shape().clone(), x.dtype)
}

/// Parts of the sum of squares of a tensor, written into the row `at` of `sums` where that lies.
///
/// The norms of all gradients take one launch each, and their parts are added up together.
///
/// # Shapes
/// - sums: `[tensors, parts]`, whose row is 0 before
pub(super) fn squares_into(sums: CubeTensor, x: CubeTensor, at: usize) -> CubeTensor {
    let (sums, x) = (owned(sums), into_contiguous(x));
    let [_, most] = matrix(&sums);
    let Sweep { width, vectors, .. } = sweep(&[&x], x.meta.num_elements());
    let lanes = Lanes::most(&x.client);
    let parts = vectors.div_ceil(lanes.count as usize).min(most);
    sum_of_parts_kernel::launch(
        &sums.client,
        cubes(&sums.client, parts),
        lanes.dim(),
        width,
        x.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        vectors,
        vectors.div_ceil(parts.max(1)),
        at * most,
        true,
        lanes.count,
        lanes.plane,
        element(&x),
    );
    sums
}

/// A step of AdamW, where the tensors lie if they have no other owner; gives value, mean and mean of squares.
///
/// One pass over all four tensors, with products and sums in the order of `ops::adamw`. `factor` is a
/// further one on the gradient that only the device knows, that of clipping: a number of an f32 tensor.
pub(super) fn adamw(
    value: CubeTensor,
    mean: CubeTensor,
    square: CubeTensor,
    gradient: CubeTensor,
    factor: Option<(CubeTensor, usize)>,
    update: AdamWUpdate,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (factors, place) = factor.map_or((None, 0), |(factors, place)| (Some(factors), place));
    let [value, mean, square] = [value, mean, square].map(owned);
    let gradient = into_contiguous(gradient);
    let Sweep { width, vectors, count, dim } =
        sweep(&[&value, &mean, &square, &gradient], value.meta.num_elements());
    let types = [&value, &mean, &gradient].map(element);
    adamw_kernel::launch(
        &value.client,
        count,
        dim,
        width,
        value.clone().into_buffer_arg(),
        mean.clone().into_buffer_arg(),
        square.clone().into_buffer_arg(),
        gradient.into_buffer_arg(),
        factors.map(|factors| into_contiguous(factors).into_buffer_arg()).into(),
        place,
        step(update),
        vectors,
        types,
    );
    (value, mean, square)
}

/// The constants of a step in the precision of the kernel; differences are taken before they are rounded.
fn step(update: AdamWUpdate) -> StepLaunch {
    let AdamWUpdate { gradient_factor, beta1, beta2, root_factor, epsilon, rate, decay } = update;
    StepLaunch::new(
        gradient_factor as f32,
        beta1 as f32,
        (1.0 - beta1) as f32,
        beta2 as f32,
        (1.0 - beta2) as f32,
        root_factor as f32,
        epsilon as f32,
        rate as f32,
        decay as f32,
    )
}

/// [`AdamWUpdate`] as an argument of the kernel.
#[derive(CubeType, CubeLaunch)]
struct Step {
    gradient_factor: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    root_factor: f32,
    epsilon: f32,
    rate: f32,
    decay: f32,
}

#[cube(launch)]
fn sum_of_parts_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    sums: &mut [f32],
    vectors: usize,
    vectors_of_part: usize,
    first: usize,
    #[comptime] is_squared: bool,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
    #[define(F)] _type: ElemType,
) {
    let begin = CUBE_POS * vectors_of_part;
    if begin >= vectors {
        terminate!();
    }
    let end = (begin + vectors_of_part).min(vectors);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut at = begin + UNIT_POS as usize;
    while at < end {
        let value = Vector::<f32, N>::cast_from(x[at]);
        if is_squared {
            sum += value * value;
        } else {
            sum += value;
        }
        at += comptime!(lanes as usize);
    }
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let sum = sum_of_lanes(sum.vector_sum(), &mut scratch, lanes, plane);
    if UNIT_POS == 0 {
        sums[first + CUBE_POS] = sum;
    }
}

#[cube(launch)]
fn add_scaled_kernel<F: Float, P: Float, N: Size>(
    sum: &mut [Vector<F, N>],
    part: &[Vector<P, N>],
    factor: f32,
    vectors: usize,
    #[define(F, P)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let scaled = Vector::<f32, N>::cast_from(part[at]) * Vector::new(factor);
        sum[at] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[at]) + scaled);
    }
}

#[cube(launch)]
fn adamw_kernel<V: Float, M: Float, G: Float, N: Size>(
    value: &mut [Vector<V, N>],
    mean: &mut [Vector<M, N>],
    square: &mut [Vector<M, N>],
    gradient: &[Vector<G, N>],
    factors: ComptimeOption<&[f32]>,
    place: usize,
    step: Step,
    vectors: usize,
    #[define(V, M, G)] _types: [ElemType; 3],
) {
    let at = ABSOLUTE_POS;
    if at < vectors {
        let mut scale = step.gradient_factor;
        #[comptime]
        if let ComptimeOption::Some(factors) = factors {
            scale *= factors[place];
        }
        let slope = Vector::<f32, N>::cast_from(gradient[at]) * Vector::new(scale);
        let new_mean = Vector::<f32, N>::cast_from(mean[at]) * Vector::new(step.beta1)
            + slope * Vector::new(step.rest1);
        let new_square = Vector::<f32, N>::cast_from(square[at]) * Vector::new(step.beta2)
            + slope * slope * Vector::new(step.rest2);
        let root =
            Vector::sqrt(new_square) * Vector::new(step.root_factor) + Vector::new(step.epsilon);
        let new_value = Vector::<f32, N>::cast_from(value[at]) * Vector::new(step.decay)
            - new_mean / root * Vector::new(step.rate);
        mean[at] = Vector::cast_from(new_mean);
        square[at] = Vector::cast_from(new_square);
        value[at] = Vector::cast_from(new_value);
    }
}
