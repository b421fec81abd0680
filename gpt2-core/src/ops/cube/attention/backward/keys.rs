//! The gradients of keys and values.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{Given, Problem, probability};
use crate::ops::cube::attention::launch::{addresses, element};
use crate::ops::cube::attention::plan::{Needs, Plan, plan, vector_size};
use crate::ops::cube::attention::tile::{
    add_weighted, column, load, no_sums, scores, share, store,
};
use crate::ops::cube::mask;

const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 2, scores: 2, sums: 2 };

pub(super) fn launch(problem: &Problem) {
    let [_, seq] = problem.extents();
    let plan = plan(&problem.qkv.client, problem.head_dim(), seq, NEEDS);
    attend_back::launch(
        &problem.qkv.client,
        problem.cubes(plan.tile.rows()),
        CubeDim::new_1d(plan.tile.units() as u32),
        addresses([&problem.qkv]),
        vector_size(problem.head_dim()),
        problem.argument(),
        plan,
        element(&problem.qkv),
    );
}

/// A cube goes through the queries that see some keys of one head: the rows of its tile are the keys.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size>(
    given: &mut Given<'_, T, N>,
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let height = comptime!(plan.tile.height);
    let width = comptime!(plan.tile.width);
    let units_x = comptime!(plan.tile.units_x);
    let columns = comptime!(plan.tile.columns());
    let tile = comptime!(plan.tile.rows());
    let batch = &given.batch;
    if !batch.has_work(tile) {
        terminate!();
    }
    let work = batch.work(tile, false);
    let (number, first, seq) = (work.number, work.first, batch.seq);
    let (x, y) = (UNIT_POS as usize % units_x, UNIT_POS as usize / units_x);
    let queries = batch.part(&work, 0usize, 3usize, plan.vectors);
    let keys = batch.part(&work, 1usize, 3usize, plan.vectors);
    let values = batch.part(&work, 2usize, 3usize, plan.vectors);
    let outputs = batch.part(&work, 0usize, 1usize, plan.vectors);

    let size = comptime!(plan.tile.rows() * plan.stride());
    let mut key_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut value_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let size = comptime!(columns * plan.stride());
    let mut query_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut upstream_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let size = comptime!(plan.tile.rows() * columns / 4);
    let mut kept = Shared::<[Vector<f32, Const<4>>]>::new_slice(size);
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(size);

    load::<T, N>(given.qkv, &keys, first, seq, 1.0f32, &mut key_tile, false, plan);
    load::<T, N>(given.qkv, &values, first, seq, 1.0f32, &mut value_tile, false, plan);
    let mut key_sums = no_sums::<N>(plan);
    let mut value_sums = no_sums::<N>(plan);
    for step in first / columns..seq.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(given.qkv, &queries, begin, seq, batch.factor, &mut query_tile, true, plan);
        load::<T, N>(given.upstream, &outputs, begin, seq, 1.0f32, &mut upstream_tile, true, plan);
        sync_cube();
        let mut found = scores::<N>(&key_tile, &query_tile, x, y, plan);
        let mut changes = scores::<N>(&value_tile, &upstream_tile, x, y, plan);
        #[unroll]
        for j in 0..width {
            let query = begin + column(x, j, plan);
            let at = number * seq + usize::min(query, seq - 1);
            let (logarithm, product) = (given.logarithms[at], given.products[at]);
            #[unroll]
            for i in 0..height {
                let index = comptime!(i * width + j);
                let key = first + y * height + i;
                let p = probability(found[index], logarithm, query, key, seq);
                let keeps = mask::element(&batch.dropout, number * seq + query, seq, key);
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
    store::<T, N>(&key_sums, &factors, given.gradient, &keys, first, seq, x, y, plan);
    store::<T, N>(&value_sums, &factors, given.gradient, &values, first, seq, x, y, plan);
}
