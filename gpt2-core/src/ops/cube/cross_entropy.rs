//! Head and loss together, with the logits of some rows at a time.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::linear::{multiply, transposed};
use super::moments::add_scaled;
use super::tensors::{element, empty, limits};

/// Bytes of logits that exist at a time: enough rows to fill the largest GPU with a product, and little beside the rest
/// of a training step.
const LOGITS: usize = 256 << 20;
/// Rows are taken in multiples of this, so that parts begin where a device can bind them.
const STEP: usize = 128;
/// Rows of a part, at most: one cube each.
const MOST_ROWS: usize = 32_768;
/// Below every logit; WGSL has no infinities.
const LOWEST: f32 = -3e38;
/// Units of a cube, as a power of two.
const UNITS: u32 = 256;

/// What is found of head and loss.
pub(super) struct Found {
    /// The loss times the factor, `[1]` in `f32`.
    pub loss: CubeTensor,
    /// Rows whose largest logit is at the target, `[1]`, of the type of the targets.
    pub hits: CubeTensor,
    /// Gradient by the hidden states, if it was wanted.
    pub by_hidden: Option<CubeTensor>,
    /// Gradient by the table, in `f32`, if it was wanted.
    pub by_table: Option<CubeTensor>,
}

/// Summed cross-entropy of `hidden @ table^T` times a factor, the number of hits, and the gradients by `hidden` and
/// `table` that are wanted.
///
/// Logits are of the table's element type, as those of a head under `torch.autocast`. They become their own gradient
/// in place.
///
/// # Shapes
/// - hidden: `[rows, embd]`
/// - table: `[vocab, embd]`
/// - targets: `[rows]`
pub(super) fn cross_entropy(
    hidden: CubeTensor,
    table: CubeTensor,
    targets: CubeTensor,
    factor: f64,
    wanted: [bool; 2],
) -> Found {
    let [hidden, table, targets] = [hidden, table, targets].map(into_contiguous);
    let [rows, embd] = hidden.shape().dims();
    let losses = empty(&hidden, [rows], DType::F32);
    let hits = empty(&hidden, [rows], targets.dtype);
    let (mut by_hidden, mut by_table) = (Vec::new(), None);
    for part in parts(rows, &table) {
        let hidden = part_of(&hidden, &[part.clone(), 0..embd]);
        let logits = multiply(hidden.clone(), transposed(table.clone()), table.dtype);
        let found = [&targets, &losses, &hits].map(|rows| rows.clone());
        by_rows(&logits, found, part.start, factor as f32, wanted.contains(&true));
        if wanted[0] {
            by_hidden.push(multiply(logits.clone(), table.clone(), hidden.dtype));
        }
        if wanted[1] {
            let found = multiply(transposed(logits), hidden, DType::F32);
            by_table = Some(match by_table {
                Some(sum) => add_scaled(sum, found, 1.0),
                None => found,
            });
        }
    }
    let (loss, hits) = total(losses, hits, factor as f32);
    Found { loss, hits, by_hidden: joined(by_hidden), by_table }
}

/// Ranges of rows of about one length whose logits stay below [`LOGITS`] and what the device binds at most.
fn parts(rows: usize, table: &CubeTensor) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let bytes = LOGITS.min(limits(&table.client).binding);
    let most = bytes / (table.shape()[0] * table.dtype.size()).max(1);
    let most = (most / STEP * STEP).clamp(STEP, MOST_ROWS);
    let count = rows.div_ceil(most).max(1);
    let length = rows.div_ceil(count).next_multiple_of(STEP);
    (0..rows).step_by(length).map(move |start| start..(start + length).min(rows))
}

/// Rows of a tensor: a view where the device can bind one, else a copy.
fn part_of(x: &CubeTensor, ranges: &[std::ops::Range<usize>]) -> CubeTensor {
    burn_cubecl::kernel::slice(x.clone(), ranges)
}

fn joined(mut parts: Vec<CubeTensor>) -> Option<CubeTensor> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(CubeBackend::float_cat(parts, 0)),
    }
}

/// Losses and hits of some rows; with `derive`, the logits become the gradient of the sum of losses times `factor`.
fn by_rows(
    logits: &CubeTensor,
    [targets, losses, hits]: [CubeTensor; 3],
    first: usize,
    factor: f32,
    derive: bool,
) {
    let [rows, columns] = logits.shape().dims();
    let units = UNITS.min(limits(&logits.client).units);
    let types = [element(logits), element(&targets)];
    rows_kernel::launch(
        &logits.client,
        CubeCount::Static(rows as u32, 1, 1),
        CubeDim::new_1d(units),
        logits.clone().into_tensor_arg(),
        targets.into_tensor_arg(),
        losses.into_tensor_arg(),
        hits.into_tensor_arg(),
        columns as u32,
        first as u32,
        factor,
        units,
        derive,
        types,
    );
}

/// One row a cube: the largest logit and the sum of exponentials, found together, then the gradient over the logits.
#[cube(launch)]
fn rows_kernel<F: Float, I: Int>(
    logits: &mut Tensor<F>,
    targets: &Tensor<I>,
    losses: &mut Tensor<f32>,
    hits: &mut Tensor<I>,
    columns: u32,
    first: u32,
    factor: f32,
    #[comptime] units: u32,
    #[comptime] derive: bool,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let mut most = Shared::new_slice(units as usize);
    let mut sums = Shared::new_slice(units as usize);
    let mut places = Shared::new_slice(units as usize);
    let unit = UNIT_POS_X as usize;
    let start = CUBE_POS_X as usize * columns as usize;
    let row = first as usize + CUBE_POS_X as usize;

    let mut largest = f32::new(LOWEST);
    let mut sum = 0.0f32;
    let mut place = columns;
    let mut column = UNIT_POS_X;
    while column < columns {
        let logit = f32::cast_from(logits[start + column as usize]);
        if logit > largest {
            sum = sum * (largest - logit).exp() + 1.0f32;
            largest = logit;
            place = column;
        } else {
            sum += (logit - largest).exp();
        }
        column += units;
    }
    most[unit] = largest;
    sums[unit] = sum;
    places[unit] = place;
    sync_cube();

    let mut half = units / 2;
    while half > 0 {
        if UNIT_POS_X < half {
            let other = unit + half as usize;
            let both = f32::max(most[unit], most[other]);
            // A unit without a column has a sum of 0, whatever it is scaled by.
            sums[unit] =
                sums[unit] * (most[unit] - both).exp() + sums[other] * (most[other] - both).exp();
            let is_first = most[other] > most[unit]
                || (most[other] == most[unit] && places[other] < places[unit]);
            places[unit] = select(is_first, places[other], places[unit]);
            most[unit] = both;
        }
        sync_cube();
        half /= 2;
    }

    let largest = most[0];
    let sum = sums[0];
    let target = u32::cast_from(targets[row]);
    if UNIT_POS_X == 0 {
        let logit = f32::cast_from(logits[start + target as usize]);
        losses[row] = largest + sum.ln() - logit;
        hits[row] = I::cast_from(select(places[0] == target, 1u32, 0u32));
    }
    if derive {
        // The target's logit is read above before a unit may write over it.
        sync_cube();
        let scale = factor / sum;
        let mut column = UNIT_POS_X;
        while column < columns {
            let at = start + column as usize;
            let probability = (f32::cast_from(logits[at]) - largest).exp() * scale;
            let expected = select(column == target, factor, 0.0f32);
            logits[at] = F::cast_from(probability - expected);
            column += units;
        }
    }
}

/// The sums of losses and hits, `[1]` each; the losses times a factor.
fn total(losses: CubeTensor, hits: CubeTensor, factor: f32) -> (CubeTensor, CubeTensor) {
    let rows = losses.shape()[0];
    let (loss, count) = (empty(&losses, [1], DType::F32), empty(&losses, [1], hits.dtype));
    let units = UNITS.min(limits(&losses.client).units);
    total_kernel::launch(
        &losses.client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(units),
        losses.clone().into_tensor_arg(),
        hits.clone().into_tensor_arg(),
        loss.clone().into_tensor_arg(),
        count.clone().into_tensor_arg(),
        rows as u32,
        factor,
        units,
        element(&hits),
    );
    (loss, count)
}

#[cube(launch)]
fn total_kernel<I: Int>(
    losses: &Tensor<f32>,
    hits: &Tensor<I>,
    loss: &mut Tensor<f32>,
    count: &mut Tensor<I>,
    rows: u32,
    factor: f32,
    #[comptime] units: u32,
    #[define(I)] _type: ElemType,
) {
    let mut sums = Shared::new_slice(units as usize);
    let mut counts = Shared::new_slice(units as usize);
    let unit = UNIT_POS_X as usize;
    let mut sum = 0.0f32;
    let mut found = 0u32;
    let mut row = UNIT_POS_X;
    while row < rows {
        sum += losses[row as usize];
        found += u32::cast_from(hits[row as usize]);
        row += units;
    }
    sums[unit] = sum;
    counts[unit] = found;
    sync_cube();
    let mut half = units / 2;
    while half > 0 {
        if UNIT_POS_X < half {
            sums[unit] = sums[unit] + sums[unit + half as usize];
            counts[unit] = counts[unit] + counts[unit + half as usize];
        }
        sync_cube();
        half /= 2;
    }
    if UNIT_POS_X == 0 {
        loss[0] = sums[0] * factor;
        count[0] = I::cast_from(counts[0]);
    }
}
