//! The gradient of the queries.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{Needs, Plan};
use super::tile::{add_weighted, column, load, multiply, place, rows, store};
use super::units::{PIECE, Products};
use crate::ops::cube::attention::backward::{Problem, probability};
use crate::ops::cube::attention::launch::{addresses, cubes, element, extents};
use crate::ops::cube::attention::tile::add_product;
use crate::ops::cube::mask::{self, Dropout};

pub const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 1, scores: 2 };

pub fn launch<P: Products>(problem: &Problem, output: CubeTensor, plan: Plan) {
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
        output.into_buffer_arg(),
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

/// A cube goes through the keys that some queries of one head see.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size, P: Products>(
    qkv: &[Vector<T, N>],
    upstream: &[Vector<T, N>],
    output: &[Vector<T, N>],
    logarithms: &[f32],
    products: &mut [f32],
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
    let stride = comptime!(plan.scores_stride() / 4);
    let tiles = seq.div_ceil(comptime!(plan.rows()));
    if CUBE_POS >= batch * heads * tiles {
        terminate!();
    }
    let first = (tiles - 1 - CUBE_POS / (batch * heads)) * comptime!(plan.rows());
    let number = CUBE_POS % (batch * heads);
    let (row, head) = (number / heads, number % heads);
    let queries = rows(row, head, heads, seq, 0usize, 3usize, plan);
    let keys = rows(row, head, heads, seq, 1usize, 3usize, plan);
    let values = rows(row, head, heads, seq, 2usize, 3usize, plan);
    let outputs = rows(row, head, heads, seq, 0usize, 1usize, plan);
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

    let tile = comptime!(plan.rows());
    load::<T, N>(qkv, &queries, first, seq, &mut query_tile, tile, plan);
    load::<T, N>(upstream, &outputs, first, seq, &mut upstream_tile, tile, plan);
    let mut product = 0.0f32;
    #[unroll]
    for i in 0..comptime!(plan.head_dim / plan.size / 2) {
        let at = outputs.first + last * outputs.stride + i * 2 + own.half;
        let left = Vector::<f32, N>::cast_from(output[at]);
        product = add_product::<N>(left, Vector::cast_from(upstream[at]), product);
    }
    exchanged[own.row * 2 + own.half] = product;
    sync_plane();
    product += exchanged[own.row * 2 + 1 - own.half];
    if own.half == 0 && query < seq {
        products[number * seq + query] = product;
    }
    let logarithm = logarithms[number * seq + last];

    let mut sums = P::none(comptime!(plan.head_dim / PIECE));
    let seen = usize::min(first + comptime!(plan.rows()), seq);
    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(qkv, &keys, begin, seq, &mut key_tile, columns, plan);
        load::<T, N>(qkv, &values, begin, seq, &mut value_tile, columns, plan);
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
                let element = mask::element(&dropout, number * seq + query, seq, key);
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
    store::<T, N>(&scores, factor, gradient, &queries, first, seq, plan);
}
