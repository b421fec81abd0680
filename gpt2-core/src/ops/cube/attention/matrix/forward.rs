//! Output and logarithms.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{Needs, Plan};
use super::tile::{add_weighted, column, load, multiply, place, store};
use super::units::{PIECE, Products};
use crate::ops::cube::attention::forward::{Attention, Given};
use crate::ops::cube::attention::launch::element;
use crate::ops::cube::attention::tile::UNSEEN;
use crate::ops::cube::mask;

pub const NEEDS: Needs = Needs { rows: 1, columns: 2, weights: 1, scores: 1 };

/// Output and logarithms; keys and values are of the queries' type.
pub fn launch<P: Products>(asked: Attention, plan: Plan) -> (CubeTensor, CubeTensor) {
    let results = asked.results();
    attend::launch::<P>(
        &asked.query.client,
        asked.cubes(plan.rows()),
        CubeDim::new_1d(plan.units() as u32),
        asked.addresses(),
        plan.size,
        asked.argument(&results),
        plan,
        element(&asked.query),
    );
    results
}

/// A cube goes through the keys of some queries of one head, tile after tile (Dao 2023, algorithm 1).
#[cube(launch, address_type = "dynamic")]
fn attend<T: Float, N: Size, P: Products>(
    given: &mut Given<'_, T, T, N>,
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let columns = comptime!(plan.columns);
    let fours = comptime!(columns / 8);
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
    let keys = given.seen(&work, 1usize, vectors);
    let values = given.seen(&work, 2usize, vectors);
    let outputs = batch.part(&work, 0usize, 1usize, vectors);
    let own = place();
    // Places before the first query, and queries that are no padding.
    let (past, count) = given.places.of_row(work.row);
    let at = first + own.row;

    let size = comptime!(plan.rows() * plan.stride() / plan.size);
    let mut query_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(columns * plan.stride() / plan.size);
    let mut key_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let mut value_tile = Shared::<[Vector<T, N>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(plan.rows() * plan.weights_stride() / 4);
    let mut weights = Shared::<[Vector<T, Const<4>>]>::new_aligned_slice(size, 32usize);
    let size = comptime!(plan.rows() * plan.scores_stride() / 4);
    let mut scores = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(size, 32usize);
    let mut exchanged = Shared::<[f32]>::new_slice(comptime!(2 * plan.rows()));

    let lanes = comptime!(plan.head_dim / 8);
    let mut sums = Array::<Vector<f32, Const<4>>>::new(lanes);
    #[unroll]
    for i in 0..lanes {
        sums[i] = Vector::new(0.0f32);
    }
    let mut highest = UNSEEN.runtime();
    let mut total = 0.0f32;
    load::<T, N>(given.query, &queries, first, usize::max(count, 1), &mut query_tile, tile, plan);
    let last = usize::min(first + tile, count);
    let seen = select(first < count, past + last, 0usize);
    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(given.key, &keys, begin, seen, &mut key_tile, columns, plan);
        load::<T, N>(given.value, &values, begin, seen, &mut value_tile, columns, plan);
        sync_cube();
        multiply::<T, N, P>(&query_tile, &key_tile, &mut scores, own.plane, plan);
        sync_plane();

        let mut found = Array::<f32>::new(comptime!(columns / 2));
        let mut high = highest;
        #[unroll]
        for four in 0..fours {
            let read = scores[own.row * stride + four * 2 + own.half];
            #[unroll]
            for i in 0..4usize {
                let sees = begin + column(own.half, four, i) <= past + at;
                let score = select(sees, read.extract(i) * factor, UNSEEN);
                high = f32::max(high, score);
                found[comptime!(four * 4 + i)] = score;
            }
        }
        exchanged[own.row * 2 + own.half] = high;
        sync_plane();
        high = f32::max(high, exchanged[own.row * 2 + 1 - own.half]);
        let shrink = f32::exp(highest - high);
        highest = high;
        total *= shrink;
        #[unroll]
        for four in 0..fours {
            let mut weight = Vector::<f32, Const<4>>::new(0.0f32);
            #[unroll]
            for i in 0..4usize {
                let p = f32::exp(found[comptime!(four * 4 + i)] - high);
                total += p;
                let key = begin + column(own.half, four, i);
                weight.insert(i, p * mask::element(&batch.dropout, number * seq + at, seq, key));
            }
            let to = own.row * comptime!(plan.weights_stride() / 4) + four * 2 + own.half;
            weights[to] = Vector::cast_from(weight);
        }
        sync_plane();

        let mut products = P::none(comptime!(plan.head_dim / PIECE));
        add_weighted::<T, N, P>(&mut products, &weights, &value_tile, own.plane, plan);
        P::store(&products, &mut scores[own.plane * stride..], comptime!(plan.scores_stride()));
        sync_plane();
        #[unroll]
        for i in 0..lanes {
            let read = scores[own.row * stride + i * 2 + own.half];
            sums[i] = fma(sums[i], Vector::new(shrink), read);
        }
    }

    sync_plane();
    exchanged[own.row * 2 + own.half] = total;
    sync_plane();
    total += exchanged[own.row * 2 + 1 - own.half];
    if own.half == 0 && at < seq {
        given.logarithms[number * seq + at] = highest + f32::ln(total);
    }
    let share = select(at < count, 1.0f32 / f32::max(total, 1e-30f32), 0.0f32);
    #[unroll]
    for i in 0..lanes {
        scores[own.row * stride + i * 2 + own.half] = sums[i] * Vector::new(share);
    }
    sync_plane();
    store::<T, N>(&scores, 1.0f32, given.output, &outputs, first, seq, plan);
}
