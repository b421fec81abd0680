//! The gradients of keys and values.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{Problem, probability};
use crate::ops::cube::attention::launch::{addresses, cubes, element, extents};
use crate::ops::cube::attention::plan::{Needs, Plan, plan, vector_size};
use crate::ops::cube::attention::tile::{
    add_weighted, column, load, merged, no_sums, packed, scores, share, store,
};
use crate::ops::cube::mask::{self, Dropout};

const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 2, scores: 2, sums: 2 };

pub(super) fn launch(problem: &Problem) {
    let Problem { upstream, qkv, sums, products, gradient, heads } = problem;
    let [rows, seq, _] = extents(qkv);
    let client = qkv.client.clone();
    let plan = plan(&client, problem.head_dim(), seq, NEEDS);
    let tiles = rows * heads.count * seq.div_ceil(plan.tile.rows());
    attend_back::launch(
        &client,
        cubes(&client, tiles),
        CubeDim::new_1d(plan.tile.units() as u32),
        addresses([qkv]),
        vector_size(problem.head_dim()),
        qkv.clone().into_buffer_arg(),
        upstream.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        products.clone().into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        rows,
        heads.count,
        seq,
        heads.factor,
        heads.mask.map(mask::argument).into(),
        plan,
        element(qkv.dtype),
    );
}

/// A cube goes through the queries that see some keys of one head: the rows of its tile are the keys.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size>(
    qkv: &[Vector<T, N>],
    upstream: &[Vector<T, N>],
    logarithms: &[f32],
    products: &[f32],
    gradient: &mut [Vector<T, N>],
    rows: usize,
    heads: usize,
    seq: usize,
    factor: f32,
    dropout: ComptimeOption<Dropout>,
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let height = comptime!(plan.tile.height);
    let width = comptime!(plan.tile.width);
    let units_x = comptime!(plan.tile.units_x);
    let columns = comptime!(plan.tile.columns());
    if CUBE_POS >= rows * heads * seq.div_ceil(comptime!(plan.tile.rows())) {
        terminate!();
    }
    // The keys that most queries see come first, so that the last cubes to end have little to do.
    let first = CUBE_POS / (rows * heads) * comptime!(plan.tile.rows());
    let number = CUBE_POS % (rows * heads);
    let (row, head) = (number / heads, number % heads);
    let (x, y) = (UNIT_POS as usize % units_x, UNIT_POS as usize / units_x);
    let queries = packed(row, head, heads, seq, 0usize, plan);
    let keys = packed(row, head, heads, seq, 1usize, plan);
    let values = packed(row, head, heads, seq, 2usize, plan);
    let outputs = merged(row, head, heads, seq, plan);

    let size = comptime!(plan.tile.rows() * plan.stride());
    let mut key_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut value_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let size = comptime!(columns * plan.stride());
    let mut query_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut upstream_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let size = comptime!(plan.tile.rows() * columns / 4);
    let mut kept = Shared::<[Vector<f32, Const<4>>]>::new_slice(size);
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(size);

    load::<T, N>(qkv, &keys, first, seq, 1.0f32, &mut key_tile, false, plan);
    load::<T, N>(qkv, &values, first, seq, 1.0f32, &mut value_tile, false, plan);
    let mut key_sums = no_sums::<N>(plan);
    let mut value_sums = no_sums::<N>(plan);
    for step in first / columns..seq.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(qkv, &queries, begin, seq, factor, &mut query_tile, true, plan);
        load::<T, N>(upstream, &outputs, begin, seq, 1.0f32, &mut upstream_tile, true, plan);
        sync_cube();
        let mut found = scores::<N>(&key_tile, &query_tile, x, y, plan);
        let mut changes = scores::<N>(&value_tile, &upstream_tile, x, y, plan);
        #[unroll]
        for j in 0..width {
            let query = begin + column(x, j, plan);
            let at = number * seq + usize::min(query, seq - 1);
            let (logarithm, product) = (logarithms[at], products[at]);
            #[unroll]
            for i in 0..height {
                let index = comptime!(i * width + j);
                let key = first + y * height + i;
                let p = probability(found[index], logarithm, query, key, seq);
                let keeps = mask::element(&dropout, number * seq + query, seq, key);
                found[index] = p * keeps;
                changes[index] = p * (changes[index] * keeps - product);
            }
        }
        share(&found, &mut kept, x, y, plan);
        share(&changes, &mut weights, x, y, plan);
        sync_cube();
        add_weighted::<N>(&kept, &upstream_tile, &mut value_sums, x, y, plan);
        add_weighted::<N>(&weights, &query_tile, &mut key_sums, x, y, plan);
    }
    let mut factors = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        factors[i] = 1.0f32;
    }
    store::<T, N>(&key_sums, &factors, gradient, &keys, first, seq, x, y, plan);
    store::<T, N>(&value_sums, &factors, gradient, &values, first, seq, x, y, plan);
}
