//! From queries, keys and values to what each query makes of them.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::batch::{self, Batch, Rows, Work, cached, cubes_of};
use super::launch::{addresses, cubes, element, empty, extents};
use super::matrix;
use super::matrix::units::MatrixUnits;
use super::places::{Places, RowPlaces};
use super::plan::{Needs, Plan, plan, vector_size};
use super::tile::{UNSEEN, add_weighted, column, load, no_sums, scores, share, store, total};
use crate::ops::causal_attention::Heads;
use crate::ops::cube::mask;

const NEEDS: Needs = Needs { rows: 1, columns: 2, weights: 1, scores: 1, sums: 1 };

/// Causal attention from packed queries, keys and values, and the logarithm of every query's sum of exponentials.
///
/// # Shapes
/// - qkv: `[batch, seq, 3 embd]`
/// - results: `[batch, seq, embd]`, `[batch, heads, seq]` of `f32`
pub(in crate::ops::cube) fn forward(qkv: CubeTensor, heads: Heads) -> (CubeTensor, CubeTensor) {
    Attention::packed(into_contiguous(qkv), heads).run()
}

/// Attention of new tokens to what a cache holds; 0 for padding.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`, of which the queries are used
/// - keys, values: `[rows or more, head, capacity, head_dim]`, contiguous
pub(super) fn forward_cached(
    qkv: CubeTensor,
    keys: CubeTensor,
    values: CubeTensor,
    places: Places,
    factor: f32,
) -> CubeTensor {
    Attention::cached(qkv, keys, values, places, factor).run().0
}

/// What is attended from and to.
pub(super) struct Attention {
    pub query: CubeTensor,
    pub key: CubeTensor,
    pub value: CubeTensor,
    pub places: Places,
    /// Whether keys and values are those of a cache, which has room for so many.
    pub cached: bool,
    pub capacity: usize,
    /// Rows, tokens of each and numbers of each of what comes out.
    pub extents: [usize; 3],
    pub head_dim: usize,
    pub heads: Heads,
}

impl Attention {
    /// All in one, contiguous: `[batch, seq, 3 embd]`.
    pub fn packed(qkv: CubeTensor, heads: Heads) -> Self {
        let [rows, seq, width] = extents(&qkv);
        Self {
            key: qkv.clone(),
            value: qkv.clone(),
            places: Places::same(0, seq),
            cached: false,
            capacity: seq,
            extents: [rows, seq, width / 3],
            head_dim: width / 3 / heads.count,
            heads,
            query: qkv,
        }
    }

    /// Queries of one tensor, keys and values of a cache.
    pub fn cached(
        qkv: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        places: Places,
        factor: f32,
    ) -> Self {
        let [rows, seq, width] = extents(&qkv);
        let [_, count, capacity, head_dim] = extents(&keys);
        Self {
            query: qkv,
            key: keys,
            value: values,
            places,
            cached: true,
            capacity,
            extents: [rows, seq, width / 3],
            head_dim,
            heads: Heads { count, factor, mask: None },
        }
    }

    /// Room for output and logarithms.
    pub fn results(&self) -> (CubeTensor, CubeTensor) {
        let [rows, seq, _] = self.extents;
        let output = empty(&self.query, self.extents, self.query.dtype);
        let sums = empty(&self.query, [rows, self.heads.count, seq], DType::F32);
        (output, sums)
    }

    /// Cubes for tiles of so many tokens.
    pub fn cubes(&self, tile: usize) -> CubeCount {
        let [rows, seq, _] = self.extents;
        cubes(&self.query.client, cubes_of([rows, seq], self.heads, tile))
    }

    pub fn addresses(&self) -> AddressType {
        addresses([&self.query, &self.key, &self.value])
    }

    /// What the kernels are given.
    pub fn argument<T: Float, C: Float, N: Size>(
        &self,
        (output, sums): &(CubeTensor, CubeTensor),
    ) -> GivenLaunch<'static, T, C, N> {
        let [rows, seq, _] = self.extents;
        GivenLaunch::new(
            self.query.clone().into_buffer_arg(),
            self.key.clone().into_buffer_arg(),
            self.value.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            self.places.argument(),
            self.capacity,
            self.cached,
            batch::argument([rows, seq], self.heads),
        )
    }

    fn run(self) -> (CubeTensor, CubeTensor) {
        if self.extents.contains(&0) {
            return self.results();
        }
        let on_units = matrix::plan::plan(&self.query, self.head_dim, matrix::forward::NEEDS);
        match on_units {
            Some(plan) if self.key.dtype == self.query.dtype => {
                matrix::forward::launch::<MatrixUnits>(self, plan)
            }
            _ => launch(self),
        }
    }
}

/// [`Attention`] and room for its results in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Given<'a, T: Float, C: Float, N: Size> {
    pub query: &'a [Vector<T, N>],
    pub key: &'a [Vector<C, N>],
    pub value: &'a [Vector<C, N>],
    pub output: &'a mut [Vector<T, N>],
    pub logarithms: &'a mut [f32],
    pub places: RowPlaces,
    pub capacity: usize,
    #[cube(comptime)]
    pub in_cache: bool,
    pub batch: Batch,
}

#[cube]
impl<'a, T: Float, C: Float, N: Size> Given<'a, T, C, N> {
    /// Where the keys (`part` 1) or values (2) of a head are.
    pub fn seen(&self, work: &Work, #[comptime] part: usize, #[comptime] vectors: usize) -> Rows {
        if comptime!(self.in_cache) {
            cached(work, self.capacity, vectors)
        } else {
            self.batch.part(work, part, 3usize, vectors)
        }
    }
}

fn launch(asked: Attention) -> (CubeTensor, CubeTensor) {
    let results = asked.results();
    let plan = plan(&asked.query.client, asked.head_dim, asked.extents[1], NEEDS);
    attend::launch(
        &asked.query.client,
        asked.cubes(plan.tile.rows()),
        CubeDim::new_1d(plan.tile.units() as u32),
        asked.addresses(),
        vector_size(asked.head_dim),
        asked.argument(&results),
        plan,
        [&asked.query, &asked.key].map(element),
    );
    results
}

/// A cube goes through the keys of some queries of one head, tile after tile (Dao 2023, algorithm 1).
#[cube(launch, address_type = "dynamic")]
fn attend<T: Float, C: Float, N: Size>(
    given: &mut Given<'_, T, C, N>,
    #[comptime] plan: Plan,
    #[define(T, C)] _types: [ElemType; 2],
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

    // Places before the first query, and queries that are no padding.
    let (past, count) = given.places.of_row(work.row);
    let keys = given.seen(&work, 1usize, plan.vectors);
    let values = given.seen(&work, 2usize, plan.vectors);
    let seen = select(
        first < count,
        past + usize::min(first + comptime!(plan.tile.rows()), count),
        0usize,
    );

    let mut query_tile =
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.tile.rows() * plan.stride()));
    let mut key_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let mut value_tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(columns * plan.stride()));
    let mut weights =
        Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(plan.tile.rows() * columns / 4));
    let mut exchanged = Shared::<[f32]>::new_slice(comptime!(plan.tile.rows() * units_x));

    let mut highest = Array::<f32>::new(height);
    let mut totals = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        highest[i] = UNSEEN;
        totals[i] = 0.0f32;
    }
    let mut sums = no_sums::<N>(plan);
    load::<T, N>(
        given.query,
        &batch.part(&work, 0usize, 3usize, plan.vectors),
        first,
        usize::max(count, 1),
        batch.factor,
        &mut query_tile,
        false,
        plan,
    );

    for step in 0..seen.div_ceil(columns) {
        let begin = step * columns;
        sync_cube();
        load::<C, N>(given.key, &keys, begin, seen, 1.0f32, &mut key_tile, true, plan);
        load::<C, N>(given.value, &values, begin, seen, 1.0f32, &mut value_tile, true, plan);
        sync_cube();
        let mut found = scores::<N>(&query_tile, &key_tile, x, y, plan);
        if begin + columns > past + first + 1 {
            hide(&mut found, past + first, begin, x, y, plan);
        }
        give_highest(&found, &highest, &mut exchanged, x, y, plan);
        sync_cube();
        weigh::<N>(&mut found, &exchanged, &mut highest, &mut totals, &mut sums, y, plan);
        #[unroll]
        for i in 0..height {
            #[unroll]
            for j in 0..width {
                let query = number * seq + first + y * height + i;
                let element = mask::element(&batch.dropout, query, seq, begin + column(x, j, plan));
                found[comptime!(i * width + j)] *= element;
            }
        }
        share(&found, &mut weights, x, y, plan);
        sync_cube();
        add_weighted::<N>(&weights, &value_tile, &mut sums, x, y, plan);
    }

    sync_cube();
    #[unroll]
    for i in 0..height {
        exchanged[(y * height + i) * units_x + x] = totals[i];
    }
    sync_cube();
    let mut shares = Array::<f32>::new(height);
    #[unroll]
    for i in 0..height {
        let total = total(&exchanged, y * height + i, plan);
        let query = first + y * height + i;
        shares[i] = select(query < count, 1.0f32 / f32::max(total, 1e-30f32), 0.0f32);
        if x == 0 && query < seq {
            given.logarithms[number * seq + query] = highest[i] + f32::ln(total);
        }
    }
    store::<T, N>(
        &sums,
        &shares,
        given.output,
        &batch.part(&work, 0usize, 1usize, plan.vectors),
        first,
        seq,
        x,
        y,
        plan,
    );
}

/// Hides keys from the queries before them: those of the tile begin at place `query` and `key`.
#[cube]
fn hide(
    found: &mut Array<f32>,
    query: usize,
    key: usize,
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    #[unroll]
    for i in 0..comptime!(plan.tile.height) {
        #[unroll]
        for j in 0..comptime!(plan.tile.width) {
            let index = comptime!(i * plan.tile.width + j);
            let sees = key + column(x, j, plan) <= query + y * comptime!(plan.tile.height) + i;
            found[index] = select(sees, found[index], UNSEEN);
        }
    }
}

/// Gives the highest scores that a unit has for its rows, of this tile and those before.
#[cube]
fn give_highest(
    found: &Array<f32>,
    highest: &Array<f32>,
    to: &mut [f32],
    x: usize,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    #[unroll]
    for i in 0..height {
        let mut high = highest[i];
        #[unroll]
        for j in 0..comptime!(plan.tile.width) {
            high = f32::max(high, found[comptime!(i * plan.tile.width + j)]);
        }
        to[(y * height + i) * comptime!(plan.tile.units_x) + x] = high;
    }
}

/// Makes exponentials of scores, relative to the highest that all units have given, and brings what was added up before
/// to the same scale.
#[cube]
fn weigh<N: Size>(
    found: &mut Array<f32>,
    given: &[f32],
    highest: &mut Array<f32>,
    totals: &mut Array<f32>,
    sums: &mut Array<Vector<f32, N>>,
    y: usize,
    #[comptime] plan: Plan,
) {
    let height = comptime!(plan.tile.height);
    let units_x = comptime!(plan.tile.units_x);
    #[unroll]
    for i in 0..height {
        let mut high = given[(y * height + i) * units_x];
        #[unroll]
        for other in 1..units_x {
            high = f32::max(high, given[(y * height + i) * units_x + other]);
        }
        let shrink = f32::exp(highest[i] - high);
        highest[i] = high;
        let mut total = totals[i] * shrink;
        #[unroll]
        for j in 0..comptime!(plan.tile.width) {
            let index = comptime!(i * plan.tile.width + j);
            let weight = f32::exp(found[index] - high);
            total += weight;
            found[index] = weight;
        }
        totals[i] = total;
        #[unroll]
        for lane in 0..comptime!(plan.lanes()) {
            sums[comptime!(i * plan.lanes() + lane)] *= Vector::new(shrink);
        }
    }
}
