//! Head and loss together, with the logits of some rows at a time.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::lanes::{Lanes, sum_of_lanes};
use super::linear::{multiply, transposed};
use super::moments::add_scaled;
use super::tensors::{binding_limit, element, empty, matrix};

/// Bytes of logits that exist at a time: enough rows to fill the largest GPU with a product, and little beside the rest
/// of a training step.
const LOGITS: usize = 256 << 20;
/// Rows are taken in multiples of this, so that parts begin where a device can bind them.
const STEP: usize = 128;
/// Rows of a part, at most: one cube each.
const MOST_ROWS: usize = 32_768;
/// Below every logit; WGSL has no infinities.
const LOWEST: f32 = -3e38;

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
    let bytes = LOGITS.min(binding_limit(&table.client));
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
    let [rows, columns] = matrix(logits);
    let lanes = Lanes::most(&logits.client);
    let types = [element(logits), element(&targets)];
    rows_kernel::launch(
        &logits.client,
        CubeCount::Static(rows as u32, 1, 1),
        lanes.dim(),
        logits.clone().into_buffer_arg(),
        targets.into_buffer_arg(),
        losses.into_buffer_arg(),
        hits.into_buffer_arg(),
        columns,
        first,
        factor,
        lanes.count,
        derive,
        types,
    );
}

/// One row a cube: the largest logit and the sum of exponentials, found together, then the gradient over the logits.
#[cube(launch)]
fn rows_kernel<F: Float, I: Int>(
    logits: &mut [F],
    targets: &[I],
    losses: &mut [f32],
    hits: &mut [I],
    columns: usize,
    first: usize,
    factor: f32,
    #[comptime] lanes: u32,
    #[comptime] derive: bool,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let start = CUBE_POS_X as usize * columns;
    let row = first + CUBE_POS_X as usize;
    let peak = peak_of_row::<F>(logits, start, columns, lanes);
    let target = usize::cast_from(targets[row]);
    if UNIT_POS == 0 {
        let logit = f32::cast_from(logits[start + target]);
        losses[row] = peak.most + f32::ln(peak.sum) - logit;
        hits[row] = I::cast_from(select(peak.place == target, 1u32, 0u32));
    }
    if derive {
        // The target's logit is read above before a unit may write over it.
        sync_cube();
        let scale = factor / peak.sum;
        let mut column = UNIT_POS as usize;
        while column < columns {
            let at = start + column;
            let probability = f32::exp(f32::cast_from(logits[at]) - peak.most) * scale;
            let expected = select(column == target, factor, 0.0f32);
            logits[at] = F::cast_from(probability - expected);
            column += comptime!(lanes as usize);
        }
    }
}

/// The largest of some numbers, where it is first, and the sum of the exponentials of all less the largest.
#[derive(CubeType)]
struct Peak {
    most: f32,
    sum: f32,
    place: usize,
}

/// The peak of a row, which all units get. All units of the cube have to call it.
#[cube]
fn peak_of_row<F: Float>(
    logits: &mut [F],
    start: usize,
    columns: usize,
    #[comptime] lanes: u32,
) -> Peak {
    let mut most = f32::new(LOWEST);
    let mut sum = 0.0f32;
    let mut place = columns;
    let mut column = UNIT_POS as usize;
    while column < columns {
        let logit = f32::cast_from(logits[start + column]);
        if logit > most {
            sum = sum * f32::exp(most - logit) + 1.0f32;
            most = logit;
            place = column;
        } else {
            sum += f32::exp(logit - most);
        }
        column += comptime!(lanes as usize);
    }
    // Groups first, and then all groups by every unit: two barriers, whatever the number of units is.
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let groups = comptime!(lanes as usize / size);
    let mut mosts = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let mut places = Shared::<[usize]>::new_slice(comptime!(lanes as usize));
    let unit = UNIT_POS as usize;
    mosts[unit] = most;
    sums[unit] = sum;
    places[unit] = place;
    sync_cube();
    if unit < groups {
        #[unroll]
        for at in 1..size {
            let other = unit + at * groups;
            let one = Peak { most, sum, place };
            let other = Peak { most: mosts[other], sum: sums[other], place: places[other] };
            let both = joined_peaks(&one, &other);
            most = both.most;
            sum = both.sum;
            place = both.place;
        }
        // Nobody else reads these elements before the barrier.
        mosts[unit] = most;
        sums[unit] = sum;
        places[unit] = place;
    }
    sync_cube();
    most = mosts[0];
    sum = sums[0];
    place = places[0];
    #[unroll]
    for at in 1..groups {
        let one = Peak { most, sum, place };
        let other = Peak { most: mosts[at], sum: sums[at], place: places[at] };
        let both = joined_peaks(&one, &other);
        most = both.most;
        sum = both.sum;
        place = both.place;
    }
    Peak { most, sum, place }
}

/// A unit without a column has a sum of 0, whatever that is scaled by.
#[cube]
fn joined_peaks(one: &Peak, other: &Peak) -> Peak {
    let most = f32::max(one.most, other.most);
    let sum = one.sum * f32::exp(one.most - most) + other.sum * f32::exp(other.most - most);
    let is_other = other.most > one.most || (other.most == one.most && other.place < one.place);
    Peak { most, sum, place: select(is_other, other.place, one.place) }
}

/// The sums of losses and hits, `[1]` each; the losses times a factor.
fn total(losses: CubeTensor, hits: CubeTensor, factor: f32) -> (CubeTensor, CubeTensor) {
    let rows = losses.meta.num_elements();
    let (loss, count) = (empty(&losses, [1], DType::F32), empty(&losses, [1], hits.dtype));
    let lanes = Lanes::most(&losses.client);
    let kind = element(&hits);
    total_kernel::launch(
        &loss.client,
        CubeCount::new_single(),
        lanes.dim(),
        losses.into_buffer_arg(),
        hits.into_buffer_arg(),
        loss.clone().into_buffer_arg(),
        count.clone().into_buffer_arg(),
        rows,
        factor,
        lanes.count,
        lanes.plane,
        kind,
    );
    (loss, count)
}

/// Hits are counted in `f32` as well, which is exact up to 16 million rows.
#[cube(launch)]
fn total_kernel<I: Int>(
    losses: &[f32],
    hits: &[I],
    loss: &mut [f32],
    count: &mut [I],
    rows: usize,
    factor: f32,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
    #[define(I)] _type: ElemType,
) {
    let mut sum = 0.0f32;
    let mut found = 0.0f32;
    let mut row = UNIT_POS as usize;
    while row < rows {
        sum += losses[row];
        found += f32::cast_from(hits[row]);
        row += comptime!(lanes as usize);
    }
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    let sum = sum_of_lanes(sum, &mut scratch, lanes, plane);
    let found = sum_of_lanes(found, &mut scratch, lanes, plane);
    if UNIT_POS == 0 {
        loss[0] = sum * factor;
        count[0] = I::cast_from(found);
    }
}
