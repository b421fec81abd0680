//! The gradient of causal attention, from its output and one number a query (Dao 2023, algorithm 2).
//!
//! The probabilities are computed again, twice: for the queries by cubes that go through keys, and for keys and values
//! by cubes that go through queries. So every sum belongs to one cube, and is the same each time.

mod keys;
mod queries;

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::batch::{self, Batch, cubes_of};
use super::launch::{cubes, empty, extents};
use super::matrix;
use super::matrix::plan::plan;
use super::matrix::units::MatrixUnits;
use crate::ops::causal_attention::Heads;

/// The gradient of `qkv`.
///
/// # Shapes
/// - upstream, output: `[batch, seq, embd]`
/// - qkv and result: `[batch, seq, 3 embd]`
/// - sums: `[batch, heads, seq]`, as [`forward`](super::forward) gives them
pub(in crate::ops::cube) fn backward(
    upstream: CubeTensor,
    qkv: CubeTensor,
    output: CubeTensor,
    sums: CubeTensor,
    heads: Heads,
) -> CubeTensor {
    let problem = Problem::new(upstream, qkv, sums, heads);
    let output = into_contiguous(output);
    if problem.products.meta.num_elements() == 0 {
        return problem.gradient;
    }
    match plan(&problem.qkv, problem.head_dim(), matrix::queries::NEEDS) {
        Some(plan) => matrix::queries::launch::<MatrixUnits>(&problem, output, plan),
        None => queries::launch(&problem, output),
    }
    match plan(&problem.qkv, problem.head_dim(), matrix::keys::NEEDS) {
        Some(plan) => matrix::keys::launch::<MatrixUnits>(&problem, plan),
        None => keys::launch(&problem),
    }
    problem.gradient
}

/// What the two kernels take.
pub(super) struct Problem {
    pub upstream: CubeTensor,
    pub qkv: CubeTensor,
    pub sums: CubeTensor,
    /// Of every query, output and its gradient multiplied; written by the first kernel.
    pub products: CubeTensor,
    /// Of queries, keys and values: each kernel writes its part.
    pub gradient: CubeTensor,
    pub heads: Heads,
}

impl Problem {
    pub fn new(upstream: CubeTensor, qkv: CubeTensor, sums: CubeTensor, heads: Heads) -> Self {
        let [upstream, qkv, sums] = [upstream, qkv, sums].map(into_contiguous);
        let [batch, seq, width] = extents(&qkv);
        let gradient = empty(&qkv, [batch, seq, width], qkv.dtype);
        let products = empty(&qkv, [batch, heads.count, seq], DType::F32);
        Self { upstream, qkv, sums, products, gradient, heads }
    }

    fn head_dim(&self) -> usize {
        let [_, _, width] = extents(&self.qkv);
        width / 3 / self.heads.count
    }

    /// Rows, and tokens of each.
    fn extents(&self) -> [usize; 2] {
        let [rows, seq, _] = extents(&self.qkv);
        [rows, seq]
    }

    /// Cubes for tiles of so many tokens.
    pub fn cubes(&self, tile: usize) -> CubeCount {
        cubes(&self.qkv.client, cubes_of(self.extents(), self.heads, tile))
    }

    /// What the kernels are given.
    pub fn argument<T: Float, N: Size>(&self) -> GivenLaunch<'static, T, N> {
        let Self { upstream, qkv, sums, products, gradient, heads } = self;
        GivenLaunch::new(
            qkv.clone().into_buffer_arg(),
            upstream.clone().into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            products.clone().into_buffer_arg(),
            gradient.clone().into_buffer_arg(),
            batch::argument(self.extents(), *heads),
        )
    }
}

/// [`Problem`] in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Given<'a, T: Float, N: Size> {
    pub qkv: &'a [Vector<T, N>],
    pub upstream: &'a [Vector<T, N>],
    pub logarithms: &'a [f32],
    pub products: &'a mut [f32],
    pub gradient: &'a mut [Vector<T, N>],
    pub batch: Batch,
}

/// The probability that a query gives a key: 0 where it does not see it or is not there.
#[cube]
pub(super) fn probability(score: f32, logarithm: f32, query: usize, key: usize, seq: usize) -> f32 {
    let sees = key <= query && query < seq;
    select(sees, f32::exp(score - logarithm), 0.0f32)
}
