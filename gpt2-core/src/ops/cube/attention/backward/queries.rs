//! The gradient of the queries.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{Given, Problem, probability};
use crate::ops::cube::attention::batch::Rows;
use crate::ops::cube::attention::launch::{addresses, element};
use crate::ops::cube::attention::plan::{Needs, Plan, plan, vector_size};
use crate::ops::cube::attention::tile::{
    add_product, add_weighted, column, load, no_sums, scores, share, store, total,
};
use crate::ops::cube::mask;

const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 1, scores: 2, sums: 1 };

pub(super) fn launch(problem: &Problem, output: CubeTensor) {
    let [_, seq] = problem.extents();
    let plan = plan(&problem.qkv.client, problem.head_dim(), seq, NEEDS);
    attend_back::launch(
        &problem.qkv.client,
        problem.cubes(plan.tile.rows()),
        CubeDim::new_1d(plan.tile.units() as u32),
        addresses([&problem.qkv]),
        vector_size(problem.head_dim()),
        problem.argument(),
        output.into_buffer_arg(),
        plan,
        element(&problem.qkv),
    );
}

/// A cube goes through the keys that some queries of one head see.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size>(
    given: &mut Given<'_, T, N>,
    output: &[Vector<T, N>],
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
    let work = batch.work(tile, true);
    let (number, first, seq) = (work.number, work.first, batch.seq);
    let (x, y) = (UNIT_POS as usize % units_x, UNIT_POS as usize / units_x);
    let queries = batch.part(&work, 0usize, 3usize, plan.vectors);
    let keys = batch.part(&work, 1usize, 3usize, plan.vectors);
    let values = batch.part(&work, 2usize, 3usize, plan.vectors);
    let outputs = batch.part(&work, 0usize, 1usize, plan.vectors);

    let size = comptime!(plan.tile.rows() * plan.stride());
    let mut query_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut upstream_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut key_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let mut value_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let count = comptime!(plan.tile.rows() * columns / 4);
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(count);
    let mut exchanged = Shared::<[f32]>::new_slice(comptime!(plan.tile.rows() * units_x));

    load::<T, N>(given.qkv, &queries, first, seq, batch.factor, &mut query_tile, false, plan);
    load::<T, N>(given.upstream, &outputs, first, seq, 1.0f32, &mut upstream_tile, false, plan);
    give_products::<T, N>(output, given.upstream, &outputs, first, seq, &mut exchanged, x, y, plan);
    sync_cube();
    let mut logarithm = Array::<f32>::new(height);
    let mut product = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        let query = first + y * height + i;
        let total = total(&exchanged, y * height + i, plan);
        product[i] = total;
        logarithm[i] = given.logarithms[number * seq + usize::min(query, seq - 1)];
        if x == 0 && query < seq {
            given.products[number * seq + query] = total;
        }
    }

    let mut sums = no_sums::<N>(plan);
    let seen = usize::min(first + comptime!(plan.tile.rows()), seq);
    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(given.qkv, &keys, begin, seq, 1.0f32, &mut key_tile, true, plan);
        load::<T, N>(given.qkv, &values, begin, seq, 1.0f32, &mut value_tile, true, plan);
        sync_cube();
        let mut found = scores::<N>(&query_tile, &key_tile, x, y, plan);
        let changes = scores::<N>(&upstream_tile, &value_tile, x, y, plan);
        #[unroll]
        for i in 0..height {
            let query = first + y * height + i;
            #[unroll]
            for j in 0..width {
                let index = comptime!(i * width + j);
                let key = begin + column(x, j, plan);
                let p = probability(found[index], logarithm[i], query, key, seq);
                let element = mask::element(&batch.dropout, number * seq + query, seq, key);
                found[index] = p * (changes[index] * element - product[i]);
            }
        }
        share(&found, &mut weights, x, y, plan);
        sync_cube();
        add_weighted::<N>(&weights, &key_tile, &mut sums, x, y, plan);
    }
    let mut factors = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        factors[i] = batch.factor;
    }
    store::<T, N>(&sums, &factors, given.gradient, &queries, first, seq, x, y, plan);
}

/// Gives a unit's part of its queries' outputs multiplied by their gradients.
#[cube]
fn give_products<T: Float, N: Size>(
    output: &[Vector<T, N>],
    upstream: &[Vector<T, N>],
    rows: &Rows,
    first: usize,
    seq: usize,
    to: &mut [f32],
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    let units_x = comptime!(plan.tile.units_x);
    #[unroll]
    for i in 0..height {
        let query = usize::min(first + y * height + i, seq - 1);
        let mut part = 0.0f32;
        #[unroll]
        for lane in 0..comptime!(plan.lanes()) {
            let at = x + comptime!(lane * units_x);
            if at < comptime!(plan.vectors) {
                let place = rows.first + query * rows.stride + at;
                let left = Vector::<f32, N>::cast_from(output[place]);
                part = add_product::<N>(left, Vector::cast_from(upstream[place]), part);
            }
        }
        to[(y * height + i) * units_x + x] = part;
    }
}
