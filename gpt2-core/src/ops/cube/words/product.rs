//! Products of a few rows of activations: every word is read once.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;

use super::numbers::numbers;
use super::{Then, Weight};
use crate::ops::cube::activation::gelu_of;
use crate::ops::cube::tensors::{busy, cubes, empty, matrix};
use crate::quantize::{COLUMNS, WordKind, WordShape};

/// Units of a cube.
const UNITS: usize = 256;
/// Rows of activations that a cube has at most.
const ROWS: usize = 8;
/// Rows of sums that are in shared memory at a time: 16 KiB, which every device has.
const HELD: usize = 4;
/// Units of a cube side by side along the columns: as few as read memory in whole lines, up to a whole plane.
const NARROW: usize = 8;
const WIDE: usize = 32;

/// `x @ weight`, and what follows.
pub(super) fn few(x: CubeTensor, weight: &Weight, then: Then) -> CubeTensor {
    let WordShape { depth, columns, kind } = weight.shape;
    let x = into_contiguous(x);
    let [rows, _] = matrix(&x);
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = columns;
    let output = empty(&x, shape, DType::F32);
    let vectors = weight.shape.padded() / COLUMNS;
    let tile = rows.next_power_of_two().min(ROWS);
    let wide = units_of_columns(&output.client, vectors);
    let plan = Plan { kind, rows: tile, wide, gelu: then.gelu };
    let Then { bias, residual, .. } = then;
    product_kernel::launch(
        &output.client,
        cubes(&output.client, rows.div_ceil(tile) * vectors.div_ceil(wide)),
        CubeDim::new_1d(UNITS as u32),
        COLUMNS,
        plan.read_together(),
        x.into_buffer_arg(),
        weight.words.clone().into_buffer_arg(),
        weight.scales.clone().into_buffer_arg(),
        bias.map(|bias| into_contiguous(bias).into_buffer_arg()).into(),
        residual.map(|residual| into_contiguous(residual).into_buffer_arg()).into(),
        output.clone().into_buffer_arg(),
        rows,
        depth / kind.count(),
        columns,
        vectors,
        plan,
    );
    output
}

/// So few that there are cubes for the whole device, where that is possible.
fn units_of_columns(client: &Client, vectors: usize) -> usize {
    if vectors.div_ceil(WIDE) >= busy(client) { WIDE } else { NARROW }
}

/// The constants of [`product_kernel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    kind: WordKind,
    /// Rows of activations of a cube.
    rows: usize,
    /// Units side by side along the columns.
    wide: usize,
    gelu: bool,
}

impl Plan {
    /// Parts of the depth, each of which a unit of every column has.
    fn slices(self) -> usize {
        UNITS / self.wide
    }

    /// Rows whose sums are in shared memory at a time.
    fn held(self) -> usize {
        self.rows.min(HELD)
    }

    /// Activations that are read at a time.
    fn read_together(self) -> usize {
        self.kind.count().min(4)
    }
}

/// Where the work of a unit is.
#[derive(CubeType, Clone, Copy)]
struct Place {
    /// First row of activations, and how many there are in all.
    first: usize,
    rows: usize,
    /// Vector of columns, and how many there are.
    column: usize,
    vectors: usize,
}

#[cube(launch)]
fn product_kernel<N: Size, M: Size>(
    x: &[Vector<f32, M>],
    words: &[Vector<u32, N>],
    scales: &[Vector<f32, N>],
    bias: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[f32]>,
    output: &mut [f32],
    rows: usize,
    steps: usize,
    columns: usize,
    vectors: usize,
    #[comptime] plan: Plan,
) {
    let wide = comptime!(plan.wide);
    let blocks = vectors.div_ceil(wide);
    let first = CUBE_POS / blocks * comptime!(plan.rows);
    if first >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let place = Place { first, rows, column: CUBE_POS % blocks * wide + unit % wide, vectors };
    let mut sums = Array::<Vector<f32, N>>::new(comptime!(plan.rows));
    #[unroll]
    for row in 0..comptime!(plan.rows) {
        sums[row] = Vector::new(0.0f32);
    }
    if place.column < vectors {
        let part = steps.div_ceil(comptime!(plan.slices()));
        let begin = usize::min(unit / wide * part, steps);
        let end = usize::min(begin + part, steps);
        let group = comptime!(plan.kind.words_of_a_group());
        if comptime!(group.is_some()) {
            let group = comptime!(group.unwrap_or(1));
            let mut step = begin;
            while step < end {
                let stop = usize::min((step / group + 1) * group, end);
                let scale = scales[step / group * vectors + place.column];
                add_products::<N, M>(x, words, &mut sums, &place, steps, step, stop, scale, plan);
                step = stop;
            }
        } else {
            let one = Vector::<f32, N>::new(1.0f32);
            add_products::<N, M>(x, words, &mut sums, &place, steps, begin, end, one, plan);
        }
    }
    finish::<N>(&sums, &bias, &residual, output, &place, columns, plan);
}

/// Adds the products of words from `begin` to `end`, which share a scale.
#[cube]
fn add_products<N: Size, M: Size>(
    x: &[Vector<f32, M>],
    words: &[Vector<u32, N>],
    sums: &mut Array<Vector<f32, N>>,
    place: &Place,
    steps: usize,
    begin: usize,
    end: usize,
    scale: Vector<f32, N>,
    #[comptime] plan: Plan,
) {
    let together = comptime!(plan.read_together());
    let reads = comptime!(plan.kind.count() / together);
    let mut parts = Array::<Vector<f32, N>>::new(comptime!(plan.rows));
    #[unroll]
    for row in 0..comptime!(plan.rows) {
        parts[row] = Vector::new(0.0f32);
    }
    for step in begin..end {
        let word = words[step * place.vectors + place.column];
        #[unroll]
        for read in 0..reads {
            let mut given = Array::<Vector<f32, M>>::new(comptime!(plan.rows));
            #[unroll]
            for row in 0..comptime!(plan.rows) {
                // Rows that are too many are the last one again, and not written.
                let from = usize::min(place.first + row, place.rows - 1);
                given[row] = x[(from * steps + step) * reads + read];
            }
            #[unroll]
            for at in 0..together {
                let weight = numbers::<N>(word, comptime!(read * together + at), plan.kind);
                #[unroll]
                for row in 0..comptime!(plan.rows) {
                    let value = Vector::<f32, N>::new(given[row].extract(at));
                    parts[row] = fma(weight, value, parts[row]);
                }
            }
        }
    }
    #[unroll]
    for row in 0..comptime!(plan.rows) {
        sums[row] = fma(parts[row], scale, sums[row]);
    }
}

/// Adds up what the units have of a column, slice after slice, and writes what is made of it.
#[cube]
fn finish<N: Size>(
    sums: &Array<Vector<f32, N>>,
    bias: &ComptimeOption<&[f32]>,
    residual: &ComptimeOption<&[f32]>,
    output: &mut [f32],
    place: &Place,
    columns: usize,
    #[comptime] plan: Plan,
) {
    let (wide, held) = comptime!((plan.wide, plan.held()));
    let unit = UNIT_POS as usize;
    let mut scratch = Shared::<[Vector<f32, N>]>::new_slice(comptime!(held * UNITS));
    #[unroll]
    for round in 0..comptime!(plan.rows / held) {
        #[unroll]
        for row in 0..held {
            scratch[comptime!(row * UNITS) + unit] = sums[comptime!(round * held + row)];
        }
        sync_cube();
        // One unit for a column of a row; the column is its own.
        let row = place.first + comptime!(round * held) + unit / wide;
        if unit < comptime!(held * wide) && row < place.rows && place.column < place.vectors {
            let from = unit / wide * comptime!(UNITS) + unit % wide;
            let mut total = Vector::<f32, N>::new(0.0f32);
            for slice in 0..comptime!(plan.slices()) {
                total += scratch[from + slice * wide];
            }
            write::<N>(total, bias, residual, output, row, place.column, columns, plan);
        }
        sync_cube();
    }
}

/// Writes a vector of columns, as far as there are so many.
#[cube]
fn write<N: Size>(
    product: Vector<f32, N>,
    bias: &ComptimeOption<&[f32]>,
    residual: &ComptimeOption<&[f32]>,
    output: &mut [f32],
    row: usize,
    vector: usize,
    columns: usize,
    #[comptime] plan: Plan,
) {
    let mut sum = product;
    #[comptime]
    if let ComptimeOption::Some(bias) = bias {
        let mut added = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for lane in 0..N::value() {
            added.insert(lane, bias[usize::min(vector * N::value() + lane, columns - 1)]);
        }
        sum += added;
    }
    if comptime!(plan.gelu) {
        sum = gelu_of::<N>(sum);
    }
    #[unroll]
    for lane in 0..N::value() {
        let column = vector * N::value() + lane;
        if column < columns {
            let at = row * columns + column;
            let mut value = sum.extract(lane);
            #[comptime]
            if let ComptimeOption::Some(residual) = residual {
                value += residual[at];
            }
            output[at] = value;
        }
    }
}
