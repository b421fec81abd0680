//! The gradients of keys and values.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{Needs, Plan};
use super::tile::{add_weighted, column, load, multiply, place, store};
use super::units::{PIECE, Products};
use crate::ops::cube::attention::backward::{Given, Problem, probability};
use crate::ops::cube::attention::launch::{addresses, element};
use crate::ops::cube::mask;

pub const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 2, scores: 2 };

pub fn launch<P: Products>(problem: &Problem, plan: Plan) {
    attend_back::launch::<P>(
        &problem.qkv.client,
        problem.cubes(plan.rows()),
        CubeDim::new_1d(plan.units() as u32),
        addresses([&problem.qkv]),
        plan.size,
        problem.argument(),
        plan,
        element(&problem.qkv),
    );
}

/// A cube goes through the queries that see some keys of one head: the rows of its tile are the keys.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size, P: Products>(
    given: &mut Given<'_, T, N>,
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let columns = comptime!(plan.columns);
    let tile = comptime!(plan.rows());
    let stride = comptime!(plan.scores_stride() / 4);
    let batch = &given.batch;
    if !batch.has_work(tile) {
        terminate!();
    }
    let work = batch.work(tile, false);
    let (number, first, seq, factor) = (work.number, work.first, batch.seq, batch.factor);
    let vectors = comptime!(plan.vectors());
    let queries = batch.part(&work, 0usize, 3usize, vectors);
    let keys = batch.part(&work, 1usize, 3usize, vectors);
    let values = batch.part(&work, 2usize, 3usize, vectors);
    let outputs = batch.part(&work, 0usize, 1usize, vectors);
    let own = place();
    let key = first + own.row;

    let size = comptime!(tile * plan.stride() / plan.size);
    let mut key_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let mut value_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(columns * plan.stride() / plan.size);
    let mut query_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let mut upstream_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(tile * plan.weights_stride() / 4);
    let mut kept = Shared::<[Vector<T, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut weights = Shared::<[Vector<T, Const<4>>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(tile * plan.scores_stride() / 4);
    let mut scores = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut changes = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut states = Shared::<[f32]>::new_slice(comptime!(2 * columns));

    load::<T, N>(given.qkv, &keys, first, seq, &mut key_tile, tile, plan);
    load::<T, N>(given.qkv, &values, first, seq, &mut value_tile, tile, plan);
    let mut key_sums = P::none(comptime!(plan.head_dim / PIECE));
    let mut value_sums = P::none(comptime!(plan.head_dim / PIECE));
    for step in first / columns..seq.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(given.qkv, &queries, begin, seq, &mut query_tile, columns, plan);
        load::<T, N>(given.upstream, &outputs, begin, seq, &mut upstream_tile, columns, plan);
        let unit = UNIT_POS as usize;
        if unit < columns {
            let at = number * seq + usize::min(begin + unit, seq - 1);
            states[unit] = given.logarithms[at];
            states[columns + unit] = given.products[at];
        }
        sync_cube();
        multiply::<T, N, P>(&key_tile, &query_tile, &mut scores, own.plane, plan);
        multiply::<T, N, P>(&value_tile, &upstream_tile, &mut changes, own.plane, plan);
        sync_plane();
        #[unroll]
        for four in 0..comptime!(columns / 8) {
            let at = own.row * stride + four * 2 + own.half;
            let (score, change) = (scores[at], changes[at]);
            let mut keeps = Vector::<f32, Const<4>>::new(0.0f32);
            let mut weight = Vector::<f32, Const<4>>::new(0.0f32);
            #[unroll]
            for i in 0..4usize {
                let at = column(own.half, four, i);
                let query = begin + at;
                let p = probability(score.extract(i) * factor, states[at], query, key, seq);
                let element = mask::element(&batch.dropout, number * seq + query, seq, key);
                keeps.insert(i, p * element);
                weight.insert(i, p * (change.extract(i) * element - states[columns + at]));
            }
            let at = own.row * comptime!(plan.weights_stride() / 4) + four * 2 + own.half;
            kept[at] = Vector::cast_from(keeps);
            weights[at] = Vector::cast_from(weight);
        }
        sync_plane();
        add_weighted::<T, N, P>(&mut value_sums, &kept, &upstream_tile, own.plane, plan);
        add_weighted::<T, N, P>(&mut key_sums, &weights, &query_tile, own.plane, plan);
    }
    sync_plane();
    P::store(&key_sums, &mut scores[own.plane * stride..], comptime!(plan.scores_stride()));
    P::store(&value_sums, &mut changes[own.plane * stride..], comptime!(plan.scores_stride()));
    sync_plane();
    store::<T, N>(&scores, factor, given.gradient, &keys, first, seq, plan);
    store::<T, N>(&changes, 1.0f32, given.gradient, &values, first, seq, plan);
}
