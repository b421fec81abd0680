//! The gradients of keys and values.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{Needs, Plan};
use super::tile::{add_weighted, column, load, multiply, place, rows, store};
use super::units::{PIECE, Products};
use crate::ops::cube::attention::backward::{Problem, probability};
use crate::ops::cube::attention::launch::{addresses, cubes, element, extents};
use crate::ops::cube::mask::{self, Dropout};

pub const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 2, scores: 2 };

pub fn launch<P: Products>(problem: &Problem, plan: Plan) {
    let Problem { upstream, qkv, sums, products, gradient, heads } = problem;
    let [batch, seq, _] = extents(qkv);
    let tiles = batch * heads.count * seq.div_ceil(plan.rows());
    attend_back::launch::<P>(
        &qkv.client,
        cubes(&qkv.client, tiles),
        CubeDim::new_1d(plan.units() as u32),
        addresses([qkv]),
        plan.size,
        qkv.clone().into_buffer_arg(),
        upstream.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        products.clone().into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        batch,
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
fn attend_back<T: Float, N: Size, P: Products>(
    qkv: &[Vector<T, N>],
    upstream: &[Vector<T, N>],
    logarithms: &[f32],
    products: &[f32],
    gradient: &mut [Vector<T, N>],
    batch: usize,
    heads: usize,
    seq: usize,
    factor: f32,
    dropout: ComptimeOption<Dropout>,
    #[comptime] plan: Plan,
    #[define(T)] _type: ElemType,
) {
    let columns = comptime!(plan.columns);
    let tile = comptime!(plan.rows());
    let stride = comptime!(plan.scores_stride() / 4);
    if CUBE_POS >= batch * heads * seq.div_ceil(tile) {
        terminate!();
    }
    // The keys that most queries see come first, so that the last cubes to end have little to do.
    let first = CUBE_POS / (batch * heads) * tile;
    let number = CUBE_POS % (batch * heads);
    let (row, head) = (number / heads, number % heads);
    let queries = rows(row, head, heads, seq, 0usize, 3usize, plan);
    let keys = rows(row, head, heads, seq, 1usize, 3usize, plan);
    let values = rows(row, head, heads, seq, 2usize, 3usize, plan);
    let outputs = rows(row, head, heads, seq, 0usize, 1usize, plan);
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

    load::<T, N>(qkv, &keys, first, seq, &mut key_tile, tile, plan);
    load::<T, N>(qkv, &values, first, seq, &mut value_tile, tile, plan);
    let mut key_sums = P::none(comptime!(plan.head_dim / PIECE));
    let mut value_sums = P::none(comptime!(plan.head_dim / PIECE));
    for step in first / columns..seq.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(qkv, &queries, begin, seq, &mut query_tile, columns, plan);
        load::<T, N>(upstream, &outputs, begin, seq, &mut upstream_tile, columns, plan);
        let unit = UNIT_POS as usize;
        if unit < columns {
            let at = number * seq + usize::min(begin + unit, seq - 1);
            states[unit] = logarithms[at];
            states[columns + unit] = products[at];
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
                let element = mask::element(&dropout, number * seq + query, seq, key);
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
    store::<T, N>(&scores, factor, gradient, &keys, first, seq, plan);
    store::<T, N>(&changes, 1.0f32, gradient, &values, first, seq, plan);
}
