//! The gradient of the queries.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{Problem, probability};
use crate::ops::cube::attention::launch::{addresses, cubes, element, extents};
use crate::ops::cube::attention::plan::{Needs, Plan, plan, vector_size};
use crate::ops::cube::attention::tile::{
    Rows, add_product, add_weighted, column, load, merged, no_sums, packed, scores, share, store,
    total,
};
use crate::ops::cube::mask::{self, Dropout};

const NEEDS: Needs = Needs { rows: 2, columns: 2, weights: 1, scores: 2, sums: 1 };

pub(super) fn launch(problem: &Problem, output: CubeTensor) {
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
        output.into_buffer_arg(),
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

/// A cube goes through the keys that some queries of one head see.
#[cube(launch, address_type = "dynamic")]
fn attend_back<T: Float, N: Size>(
    qkv: &[Vector<T, N>],
    upstream: &[Vector<T, N>],
    output: &[Vector<T, N>],
    logarithms: &[f32],
    products: &mut [f32],
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
    let tiles = seq.div_ceil(comptime!(plan.tile.rows()));
    if CUBE_POS >= rows * heads * tiles {
        terminate!();
    }
    let first = (tiles - 1 - CUBE_POS / (rows * heads)) * comptime!(plan.tile.rows());
    let number = CUBE_POS % (rows * heads);
    let (row, head) = (number / heads, number % heads);
    let (x, y) = (UNIT_POS as usize % units_x, UNIT_POS as usize / units_x);
    let queries = packed(row, head, heads, seq, 0usize, plan);
    let keys = packed(row, head, heads, seq, 1usize, plan);
    let values = packed(row, head, heads, seq, 2usize, plan);
    let outputs = merged(row, head, heads, seq, plan);

    let size = comptime!(plan.tile.rows() * plan.stride());
    let mut query_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut upstream_tile = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut key_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let mut value_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let count = comptime!(plan.tile.rows() * columns / 4);
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(count);
    let mut exchanged = Shared::<[f32]>::new_slice(comptime!(plan.tile.rows() * units_x));

    load::<T, N>(qkv, &queries, first, seq, factor, &mut query_tile, false, plan);
    load::<T, N>(upstream, &outputs, first, seq, 1.0f32, &mut upstream_tile, false, plan);
    give_products::<T, N>(output, upstream, &outputs, first, seq, &mut exchanged, x, y, plan);
    sync_cube();
    let mut logarithm = Array::<f32>::new(height);
    let mut product = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        let query = first + y * height + i;
        let total = total(&exchanged, y * height + i, plan);
        product[i] = total;
        logarithm[i] = logarithms[number * seq + usize::min(query, seq - 1)];
        if x == 0 && query < seq {
            products[number * seq + query] = total;
        }
    }

    let mut sums = no_sums::<N>(plan);
    let seen = usize::min(first + comptime!(plan.tile.rows()), seq);
    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<T, N>(qkv, &keys, begin, seq, 1.0f32, &mut key_tile, true, plan);
        load::<T, N>(qkv, &values, begin, seq, 1.0f32, &mut value_tile, true, plan);
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
                let element = mask::element(&dropout, number * seq + query, seq, key);
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
        factors[i] = factor;
    }
    store::<T, N>(&sums, &factors, gradient, &queries, first, seq, x, y, plan);
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
