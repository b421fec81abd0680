//! Products with weights in fewer bits, which are read as words of 32 bits.
//!
//! A few rows of activations, as decoding has them, meet every word once: a cube has some columns of the weight, and its
//! units divide the depth among them. For many rows the weight becomes floats for as long as the product takes.

use burn::backend::{Backend, DTypeUsage, TensorMetadata};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

use super::activation::gelu_of;
use super::bias::{add_bias, add_bias_residual, bias_gelu};
use super::linear::product;
use super::tensors::{cubes, element, empty, matrix, units};
use crate::ops::words::WordOps;
use crate::quantize::{COLUMNS, WordKind, WordShape};

/// Units of a cube.
const UNITS: usize = 256;
/// Rows of activations that a cube has at most.
const ROWS: usize = 8;
/// Rows of sums that are in shared memory at a time: 16 KiB, which every device has.
const HELD: usize = 4;
/// Rows from which on the weight is made into floats.
const MANY: usize = 33;
/// Units of a cube side by side along the columns: as few as read memory in whole lines, up to a whole plane.
const NARROW: usize = 8;
const WIDE: usize = 32;
/// Cubes that keep each multiprocessor busy, and multiprocessors where the device does not tell.
const CUBES: usize = 2;
const MULTIPROCESSORS: usize = 48;

/// A weight on the device.
struct Weight {
    words: CubeTensor,
    scales: CubeTensor,
    shape: WordShape,
}

/// What is added to a product, and whether GELU follows.
#[derive(Default)]
struct Then {
    bias: Option<CubeTensor>,
    residual: Option<CubeTensor>,
    gelu: bool,
}

impl WordOps for CubeBackend {
    fn word_product(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        multiply(x, Weight::new(words, scales, shape), Then::default())
    }

    fn word_linear(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), ..Then::default() };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_gelu(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), gelu: true, ..Then::default() };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_residual(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        residual: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), residual: Some(residual), gelu: false };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_rows(
        ids: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        rows(ids, Weight::new(words, scales, shape))
    }

    fn word_table(words: CubeTensor, scales: CubeTensor, shape: WordShape) -> CubeTensor {
        let weight = Weight::new(words, scales, shape);
        let output = empty(&weight.words, [shape.columns, shape.depth], DType::F32);
        weight.expand(&output, [1, shape.depth]);
        output
    }
}

impl Weight {
    fn new(words: CubeTensor, scales: CubeTensor, shape: WordShape) -> Self {
        let [words, scales] = [words, scales].map(into_contiguous);
        Self { words, scales, shape }
    }

    /// The floats, `[depth, columns]`.
    fn floats(&self, dtype: DType) -> CubeTensor {
        let WordShape { depth, columns, .. } = self.shape;
        let output = empty(&self.words, [depth, columns], dtype);
        self.expand(&output, [columns, 1]);
        output
    }

    /// Writes the floats, with steps from one to the next along the depth and along the columns.
    fn expand(&self, output: &CubeTensor, strides: [usize; 2]) {
        let shape = self.shape;
        let (count, dim) = units(&output.client, self.words.meta.num_elements());
        expand_kernel::launch(
            &output.client,
            count,
            dim,
            1,
            self.words.clone().into_buffer_arg(),
            self.scales.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            shape.depth,
            shape.columns,
            shape.padded(),
            shape.padded(),
            strides[0],
            strides[1],
            shape.kind,
            element(output),
        );
    }

    /// What products of many rows are computed in: what a weight in bf16 is, where the device multiplies that.
    fn wide_dtype(&self) -> DType {
        let usage = CubeBackend::dtype_usage(&self.words.device, DType::BF16);
        match self.shape.kind {
            WordKind::Half if usage.contains(DTypeUsage::Arithmetic) => DType::BF16,
            _ => DType::F32,
        }
    }
}

/// `x @ weight`, and what follows, in `f32`.
fn multiply(x: CubeTensor, weight: Weight, then: Then) -> CubeTensor {
    let [rows, _] = matrix(&x);
    if rows < MANY { multiply_few(x, &weight, then) } else { multiply_many(x, &weight, then) }
}

fn multiply_many(x: CubeTensor, weight: &Weight, then: Then) -> CubeTensor {
    let dtype = weight.wide_dtype();
    let found = product(cast(x, dtype), weight.floats(dtype));
    let found = match then {
        Then { bias: None, .. } => found,
        Then { bias: Some(bias), gelu: true, .. } => bias_gelu(found, bias),
        Then { bias: Some(bias), residual: None, .. } => add_bias(found, bias),
        Then { bias: Some(bias), residual: Some(residual), .. } => {
            add_bias_residual(found, bias, residual)
        }
    };
    cast(found, DType::F32)
}

fn cast(x: CubeTensor, dtype: DType) -> CubeTensor {
    if x.dtype == dtype { x } else { burn_cubecl::kernel::cast(x, dtype) }
}

fn multiply_few(x: CubeTensor, weight: &Weight, then: Then) -> CubeTensor {
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
    let multiprocessors = client.properties().hardware.num_streaming_multiprocessors;
    let wanted = CUBES * multiprocessors.map_or(MULTIPROCESSORS, |count| count as usize);
    if vectors.div_ceil(WIDE) >= wanted { WIDE } else { NARROW }
}

/// Rows of a table, `[batch, seq, depth]`.
fn rows(ids: CubeTensor, weight: Weight) -> CubeTensor {
    let ids = into_contiguous(ids);
    let shape = weight.shape;
    let [batch, seq] = ids.shape().dims();
    let output = empty(&weight.scales, [batch, seq, shape.depth], DType::F32);
    let items = batch * seq * shape.steps();
    let (count, dim) = units(&output.client, items);
    let of_ids = element(&ids);
    rows_kernel::launch(
        &output.client,
        count,
        dim,
        1,
        ids.into_buffer_arg(),
        weight.words.into_buffer_arg(),
        weight.scales.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        items,
        shape.steps(),
        shape.padded(),
        shape.kind,
        of_ids,
    );
    output
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

/// The numbers at a place of words, without their scale.
#[cube]
fn numbers<N: Size>(
    word: Vector<u32, N>,
    #[comptime] at: usize,
    #[comptime] kind: WordKind,
) -> Vector<f32, N> {
    let shift = Vector::<u32, N>::new(comptime!((at * kind.bits()) as u32));
    if comptime!(kind == WordKind::Half) {
        let bits = if comptime!(at == 0) {
            word << Vector::<u32, N>::new(16u32)
        } else {
            word & Vector::<u32, N>::new(0xffff_0000u32)
        };
        Vector::<f32, N>::reinterpret(bits)
    } else {
        let mask = Vector::<u32, N>::new(comptime!((1u32 << kind.bits()) - 1));
        let offset = Vector::<f32, N>::new(comptime!((1u32 << (kind.bits() - 1)) as f32));
        Vector::<f32, N>::cast_from((word >> shift) & mask) - offset
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

/// A unit writes the numbers of one word.
#[cube(launch)]
fn expand_kernel<O: Float, N: Size>(
    words: &[Vector<u32, N>],
    scales: &[Vector<f32, N>],
    output: &mut [O],
    depth: usize,
    columns: usize,
    padded: FastDivmod<usize>,
    padded_columns: usize,
    along_depth: usize,
    along_columns: usize,
    #[comptime] kind: WordKind,
    #[define(O)] _type: ElemType,
) {
    let (step, column) = padded.div_mod(ABSOLUTE_POS);
    let count = comptime!(kind.count());
    if column < columns && step * count < depth {
        let word = words[ABSOLUTE_POS];
        let scale = scale_of::<N>(scales, step, column, padded_columns, kind);
        #[unroll]
        for at in 0..count {
            let place = step * count + at;
            if place < depth {
                let value = numbers::<N>(word, at, kind) * scale;
                output[place * along_depth + column * along_columns] =
                    O::cast_from(value.extract(0usize));
            }
        }
    }
}

/// A unit writes the numbers of one word of a row of a table.
#[cube(launch)]
fn rows_kernel<I: Numeric, N: Size>(
    ids: &[I],
    words: &[Vector<u32, N>],
    scales: &[Vector<f32, N>],
    output: &mut [f32],
    items: usize,
    steps: FastDivmod<usize>,
    padded: usize,
    #[comptime] kind: WordKind,
    #[define(I)] _type: ElemType,
) {
    if ABSOLUTE_POS < items {
        let (row, step) = steps.div_mod(ABSOLUTE_POS);
        let column = u32::cast_from(ids[row]) as usize;
        let word = words[step * padded + column];
        let scale = scale_of::<N>(scales, step, column, padded, kind);
        let count = comptime!(kind.count());
        #[unroll]
        for at in 0..count {
            let value = numbers::<N>(word, at, kind) * scale;
            output[ABSOLUTE_POS * count + at] = value.extract(0usize);
        }
    }
}

/// The scale of a word.
#[cube]
fn scale_of<N: Size>(
    scales: &[Vector<f32, N>],
    step: usize,
    column: usize,
    padded: usize,
    #[comptime] kind: WordKind,
) -> Vector<f32, N> {
    let group = comptime!(kind.words_of_a_group());
    if comptime!(group.is_some()) {
        scales[step / comptime!(group.unwrap_or(1)) * padded + column]
    } else {
        Vector::<f32, N>::new(1.0f32)
    }
}
