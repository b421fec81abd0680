//! The gradient of the queries.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{Needs, Plan};
use super::tile::{add_weighted, column, load, multiply, place, store};
use super::units::{PIECE, Products};
use crate::ops::cube::attention::backward::{Given, Problem, probability};
use crate::ops::cube::attention::launch::{addresses, element};
use crate::ops::cube::attention::tile::add_product;
use crate::ops::cube::mask;

pub const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 1, scores: 2 };

pub fn launch<P: Products>(problem: &Problem, output: CubeTensor, plan: Plan) {
    attend_back::launch::<P>(
        &problem.qkv.client,
        problem.cubes(plan.rows()),
        CubeDim::new_1d(plan.units() as u32),
        addresses([&problem.qkv]),
        plan.size,
        problem.argument(),
        output.into_buffer_arg(),
        plan,
        element(&problem.qkv),
    );
}

/// A cube goes through the keys that some queries of one head see.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size, P: Products>(
    given: &mut Given<'_, T, N>,
    output: &[Vector<T, N>],
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let columns = comptime!(plan.columns);
    let stride = comptime!(plan.scores_stride() / 4);
    let tile = comptime!(plan.rows());
    let batch = &given.batch;
    if !batch.has_work(tile) {
        terminate!();
    }
    let work = batch.work(tile, true);
    let (number, first, seq, factor) = (work.number, work.first, batch.seq, batch.factor);
    let vectors = comptime!(plan.vectors());
    let queries = batch.part(&work, 0usize, 3usize, vectors);
    let keys = batch.part(&work, 1usize, 3usize, vectors);
    let values = batch.part(&work, 2usize, 3usize, vectors);
    let outputs = batch.part(&work, 0usize, 1usize, vectors);
    let own = place();
    let query = first + own.row;
    let last = usize::min(query, seq - 1);

    let size = comptime!(plan.rows() * plan.stride() / plan.size);
    let mut query_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let mut upstream_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(columns * plan.stride() / plan.size);
    let mut key_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let mut value_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(plan.rows() * plan.weights_stride() / 4);
    let mut weights = Shared::<[Vector<T, Const<4>>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(plan.rows() * plan.scores_stride() / 4);
    let mut scores = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut changes = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut exchanged = Shared::<[f32]>::new_slice(comptime!(2 * plan.rows()));

    load::<T, N>(given.qkv, &queries, first, seq, &mut query_tile, tile, plan);
    load::<T, N>(given.upstream, &outputs, first, seq, &mut upstream_tile, tile, plan);
    let mut product = 0.0f32;
    #[unroll]
    for i in 0..comptime!(plan.head_dim / plan.size / 2) {
        let at = outputs.first + last * outputs.stride + i * 2 + own.half;
        let left = Vector::<f32, N>::cast_from(output[at]);
        product = add_product::<N>(left, Vector::cast_from(given.upstream[at]), product);
    }
    exchanged[own.row * 2 + own.half] = product;
    sync_plane();
    product += exchanged[own.row * 2 + 1 - own.half];
    if own.half == 0 && query < seq {
        given.products[number * seq + query] = product;
    }
    let logarithm = given.logarithms[number * seq + last];

    let mut sums = P::none(comptime!(plan.head_dim / PIECE));
    let seen = usize::min(first + comptime!(plan.rows()), seq);
    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(given.qkv, &keys, begin, seq, &mut key_tile, columns, plan);
        load::<T, N>(given.qkv, &values, begin, seq, &mut value_tile, columns, plan);
        sync_cube();
        multiply::<T, N, P>(&query_tile, &key_tile, &mut scores, own.plane, plan);
        multiply::<T, N, P>(&upstream_tile, &value_tile, &mut changes, own.plane, plan);
        sync_plane();
        #[unroll]
        for four in 0..comptime!(columns / 8) {
            let at = own.row * stride + four * 2 + own.half;
            let (score, change) = (scores[at], changes[at]);
            let mut weight = Vector::<f32, Const<4>>::new(0.0f32);
            #[unroll]
            for i in 0..4usize {
                let key = begin + column(own.half, four, i);
                let p = probability(score.extract(i) * factor, logarithm, query, key, seq);
                let element = mask::element(&batch.dropout, number * seq + query, seq, key);
                weight.insert(i, p * (change.extract(i) * element - product));
            }
            let at = own.row * comptime!(plan.weights_stride() / 4) + four * 2 + own.half;
            weights[at] = Vector::cast_from(weight);
        }
        sync_plane();
        add_weighted::<T, N, P>(&mut sums, &weights, &key_tile, own.plane, plan);
    }
    sync_plane();
    P::store(&sums, &mut scores[own.plane * stride..], comptime!(plan.scores_stride()));
    sync_plane();
    store::<T, N>(&scores, factor, given.gradient, &queries, first, seq, plan);
}
