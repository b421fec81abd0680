//! What an optimizer does with all parameters beside norms: sums of gradients, and the step of AdamW.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::groups::{Parts, Share, groups};
use super::lanes::Lanes;
use super::tensors::{Sweep, cubes, element, owned, sweep, vector_size, zeros};
use crate::ops::AdamWUpdate;

/// Vectors that a unit moves: all cubes look through the list of tensors, which should cost little beside their work.
const STEPS: usize = 4;

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

/// As many zeros as a tensor has elements, flat.
pub(super) fn moment(x: &CubeTensor) -> CubeTensor {
    zeros(x, [x.meta.num_elements()], x.dtype)
}

/// A parameter as a step of AdamW takes it.
pub(super) struct Parameter {
    /// Value, mean and mean of squares, which the step changes where they lie if they have no other owner.
    pub state: [CubeTensor; 3],
    pub gradient: CubeTensor,
    /// Which of the factors is its.
    pub place: usize,
    pub update: AdamWUpdate,
}

/// A step of AdamW; gives value, mean and mean of squares of each parameter.
///
/// One pass over all four tensors of each, with products and sums in the order of `ops::adamw`, and one launch for each group of
/// parameters. `factors` are further ones on the gradients that only the device knows, those of clipping: numbers of an f32 tensor.
///
/// # Panics
/// If there is no parameter.
pub(super) fn adamw(
    parameters: Vec<Parameter>,
    factors: Option<CubeTensor>,
) -> Vec<[CubeTensor; 3]> {
    let factors = factors.map(into_contiguous);
    let contiguous = |parameter: Parameter| Parameter {
        state: parameter.state.map(owned),
        gradient: into_contiguous(parameter.gradient),
        ..parameter
    };
    let parameters: Vec<Parameter> = parameters.into_iter().map(contiguous).collect();
    let kinds: Vec<Kind> = parameters.iter().map(Kind::of).collect();
    let client = parameters[0].gradient.client.clone();
    let lanes = Lanes::most(&client);
    let numbers = numbers(&parameters);
    for group in groups(&client, &kinds, 4, 2) {
        let Kind { width, types } = kinds[group[0]];
        let mut parts = Parts::new(lanes, STEPS);
        let arguments = group.into_iter().map(|at| parameters[at].argument(at, width, &mut parts));
        let arguments = arguments.collect();
        adamw_kernel::launch(
            &client,
            cubes(&client, parts.cubes),
            lanes.dim(),
            width,
            arguments,
            numbers.clone().into_buffer_arg(),
            factors.clone().map(CubeTensor::into_buffer_arg).into(),
            lanes.count,
            types,
        );
    }
    parameters.into_iter().map(|parameter| parameter.state).collect()
}

/// What parameters of one launch have in common.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    /// Elements of a vector.
    width: usize,
    /// Types of values, moments and gradients.
    types: [ElemType; 3],
}

impl Kind {
    fn of(parameter: &Parameter) -> Self {
        let ([value, mean, square], gradient) = (&parameter.state, &parameter.gradient);
        let length = value.meta.num_elements();
        let width = vector_size(&[value, mean, square, gradient], length);
        Self { width, types: [value, mean, gradient].map(element) }
    }
}

impl Parameter {
    /// As an argument of the kernel, number `at` of all.
    fn argument<V: Float, M: Float, G: Float, N: Size>(
        &self,
        at: usize,
        width: usize,
        parts: &mut Parts,
    ) -> MovedLaunch<V, M, G, N> {
        let vectors = self.gradient.meta.num_elements() / width;
        let [value, mean, square] = self.state.clone().map(CubeTensor::into_buffer_arg);
        MovedLaunch::new(
            value,
            mean,
            square,
            self.gradient.clone().into_buffer_arg(),
            at,
            self.place,
            parts.next(vectors),
        )
    }
}

/// Numbers of a [`Step`].
const NUMBERS: usize = 9;

/// The constants of all parameters' steps, `[parameters, 9]`, in the precision of the kernel.
///
/// They change from step to step and go to the device together. The sizes that are arguments of a launch do not, so those are there already.
fn numbers(parameters: &[Parameter]) -> CubeTensor {
    let numbers: Vec<f32> = parameters.iter().flat_map(|it| rounded(it.update)).collect();
    let like = &parameters[0].gradient;
    let handle = like.client.create_from_slice(f32::as_bytes(&numbers));
    let (client, device) = (like.client.clone(), like.device.clone());
    let shape = Shape::new([parameters.len(), NUMBERS]);
    CubeTensor::new_contiguous(client, device, shape, handle, DType::F32)
}

/// The numbers of [`Step`], in its order; differences are taken before they are rounded.
fn rounded(update: AdamWUpdate) -> [f32; NUMBERS] {
    let AdamWUpdate { gradient_factor, beta1, beta2, root_factor, epsilon, rate, decay } = update;
    [gradient_factor, beta1, 1.0 - beta1, beta2, 1.0 - beta2, root_factor, epsilon, rate, decay]
        .map(|number| number as f32)
}

/// [`AdamWUpdate`] in a kernel.
#[derive(CubeType, Clone, Copy)]
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

/// The constants of a parameter.
#[cube]
fn step(numbers: &[f32], parameter: usize) -> Step {
    let first = parameter * NUMBERS;
    Step {
        gradient_factor: numbers[first],
        beta1: numbers[first + 1],
        rest1: numbers[first + 2],
        beta2: numbers[first + 3],
        rest2: numbers[first + 4],
        root_factor: numbers[first + 5],
        epsilon: numbers[first + 6],
        rate: numbers[first + 7],
        decay: numbers[first + 8],
    }
}

/// [`Parameter`] as an argument of the kernel.
#[derive(CubeType, CubeLaunch)]
struct Moved<V: Float, M: Float, G: Float, N: Size> {
    value: Box<[Vector<V, N>]>,
    mean: Box<[Vector<M, N>]>,
    square: Box<[Vector<M, N>]>,
    gradient: Box<[Vector<G, N>]>,
    /// Its number.
    at: usize,
    /// Which of the factors is its.
    place: usize,
    share: Share,
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
    parameters: &mut Sequence<Moved<V, M, G, N>>,
    numbers: &[f32],
    factors: ComptimeOption<&[f32]>,
    #[comptime] lanes: u32,
    #[define(V, M, G)] _types: [ElemType; 3],
) {
    #[unroll]
    for at in 0..parameters.len() {
        let parameter = parameters.index_mut(at);
        if parameter.share.is_mine() {
            let step = step(numbers, parameter.at);
            let mut scale = step.gradient_factor;
            #[comptime]
            if let ComptimeOption::Some(factors) = factors {
                scale *= factors[parameter.place];
            }
            let end = parameter.share.end();
            let mut at = parameter.share.begin() + UNIT_POS as usize;
            while at < end {
                parameter.move_by(&step, scale, at);
                at += comptime!(lanes as usize);
            }
        }
    }
}

#[cube]
impl<V: Float, M: Float, G: Float, N: Size> Moved<V, M, G, N> {
    /// Moves one vector.
    fn move_by(&mut self, step: &Step, scale: f32, at: usize) {
        let slope = Vector::<f32, N>::cast_from(self.gradient[at]) * Vector::new(scale);
        let new_mean = Vector::<f32, N>::cast_from(self.mean[at]) * Vector::new(step.beta1)
            + slope * Vector::new(step.rest1);
        let new_square = Vector::<f32, N>::cast_from(self.square[at]) * Vector::new(step.beta2)
            + slope * slope * Vector::new(step.rest2);
        let root =
            Vector::sqrt(new_square) * Vector::new(step.root_factor) + Vector::new(step.epsilon);
        let new_value = Vector::<f32, N>::cast_from(self.value[at]) * Vector::new(step.decay)
            - new_mean / root * Vector::new(step.rate);
        self.mean[at] = Vector::cast_from(new_mean);
        self.square[at] = Vector::cast_from(new_square);
        self.value[at] = Vector::cast_from(new_value);
    }
}
