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

use super::launch::{empty, extents};
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
    let [upstream, qkv, output, sums] = [upstream, qkv, output, sums].map(into_contiguous);
    let [batch, seq, width] = extents(&qkv);
    let gradient = empty(&qkv, [batch, seq, width], qkv.dtype);
    let products = empty(&qkv, [batch, heads.count, seq], DType::F32);
    if batch * seq * width == 0 {
        return gradient;
    }
    let problem = Problem { upstream, qkv, sums, products, gradient, heads };
    queries::launch(&problem, output);
    keys::launch(&problem);
    problem.gradient
}

/// What both kernels take.
struct Problem {
    upstream: CubeTensor,
    qkv: CubeTensor,
    sums: CubeTensor,
    /// Of every query, output and its gradient multiplied; written by the first kernel.
    products: CubeTensor,
    /// Of queries, keys and values: each kernel writes its part.
    gradient: CubeTensor,
    heads: Heads,
}

impl Problem {
    fn head_dim(&self) -> usize {
        let [_, _, width] = extents(&self.qkv);
        width / 3 / self.heads.count
    }
}

/// The probability that a query gives a key: 0 where it does not see it or is not there.
#[cube]
fn probability(score: f32, logarithm: f32, query: usize, key: usize, seq: usize) -> f32 {
    let sees = key <= query && query < seq;
    select(sees, f32::exp(score - logarithm), 0.0f32)
}
