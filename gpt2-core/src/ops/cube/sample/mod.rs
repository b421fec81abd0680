//! The choice of a token by the logits of a row: the highest, or a draw.
//!
//! A cube has a row and goes through its logits a few times, which the caches of a GPU hold by then; nothing is sorted and
//! nothing is written but the choice. Which logits are kept is found by a search for the lowest of them (`search`), and all that
//! is added up in more than one pass is whole numbers, so that the passes agree and a row and a number give one id every time.

mod draw;
mod highest;
mod kept;
mod search;

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use self::draw::{drawn, total_weight};
use self::highest::{EXCLUDED, INFINITE, highest_of, score_of};
use self::kept::{Kept, Row};
use self::search::{BINS, By, Memory, find_by, reaching};
use super::lanes::Lanes;
use super::tensors::{cubes, element, empty, matrix};
use crate::ops::sample::{EXCLUDED_ALL, NOT_FINITE, SampleOptions};

/// Shares are parts of this.
const WHOLE: u32 = 1 << 31;

/// Ids that the next pass can read, and what to tell the host: the id, or why there is none.
type Choice = (CubeTensor, CubeTensor);

/// The lowest id of the highest logit of every row, `[rows]`.
///
/// # Shapes
/// - logits: `[rows, vocab]`
pub(super) fn greedy(logits: CubeTensor) -> Choice {
    let logits = into_contiguous(logits);
    let [rows, columns] = matrix(&logits);
    let [ids, told] = [(); 2].map(|()| empty(&logits, [rows], DType::I32));
    let lanes = Lanes::widest(&logits.client).count;
    let kind = element(&logits);
    greedy_kernel::launch(
        &ids.client,
        cubes(&ids.client, rows),
        CubeDim::new_1d(lanes),
        logits.into_buffer_arg(),
        ids.clone().into_buffer_arg(),
        told.clone().into_buffer_arg(),
        rows,
        columns,
        lanes,
        kind,
    );
    (ids, told)
}

/// An id of every row, `[rows]`, drawn with a number of the row's own in `[0, 1)`.
///
/// # Shapes
/// - logits: `[rows, vocab]`
/// - numbers: `[rows]`, of `f32`
pub(super) fn sample(logits: CubeTensor, numbers: CubeTensor, options: SampleOptions) -> Choice {
    let [logits, numbers] = [logits, numbers].map(into_contiguous);
    let [rows, columns] = matrix(&logits);
    let [ids, told] = [(); 2].map(|()| empty(&logits, [rows], DType::I32));
    let lanes = Lanes::widest(&logits.client);
    let top_k = options.top_k.filter(|&top_k| top_k < columns);
    let plan = Plan {
        lanes: lanes.count,
        plane: lanes.plane,
        top_k: top_k.is_some(),
        top_p: options.top_p.is_some(),
    };
    let kind = element(&logits);
    sample_kernel::launch(
        &ids.client,
        cubes(&ids.client, rows),
        lanes.dim(),
        logits.into_buffer_arg(),
        numbers.into_buffer_arg(),
        ids.clone().into_buffer_arg(),
        told.clone().into_buffer_arg(),
        rows,
        columns,
        (1.0 / f64::from(options.temperature)) as f32,
        (f64::from(f32::MAX) * f64::from(options.temperature)).min(f64::from(f32::MAX)) as f32,
        top_k.unwrap_or(columns) as u32,
        options.top_p.unwrap_or(1.0) as f32,
        plan,
        kind,
    );
    (ids, told)
}

/// The constants of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    lanes: u32,
    plane: u32,
    top_k: bool,
    top_p: bool,
}

#[cube(launch)]
fn greedy_kernel<F: Float>(
    logits: &[F],
    ids: &mut [i32],
    told: &mut [i32],
    rows: usize,
    columns: usize,
    #[comptime] lanes: u32,
    #[define(F)] _type: ElemType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let mut keys = Shared::<[u32]>::new_slice(comptime!(lanes as usize));
    let mut places = Shared::<[u32]>::new_slice(comptime!(lanes as usize));
    let best = highest_of::<F>(logits, row * columns, columns, &mut keys, &mut places, lanes);
    if UNIT_POS == 0 {
        tell(ids, told, row, best.place, reason(best.key, f32::new(f32::MAX)));
    }
}

#[cube(launch)]
fn sample_kernel<F: Float>(
    logits: &[F],
    numbers: &[f32],
    ids: &mut [i32],
    told: &mut [i32],
    rows: usize,
    columns: usize,
    rate: f32,
    limit: f32,
    top_k: u32,
    top_p: f32,
    #[comptime] plan: Plan,
    #[define(F)] _type: ElemType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let lanes = comptime!(plan.lanes);
    let start = row * columns;
    let mut memory = Memory {
        bins: Shared::<[Atomic<u32>]>::new_slice(BINS),
        sums: Shared::<[u32]>::new_slice(comptime!(lanes as usize)),
        groups: Shared::<[u32]>::new_slice(comptime!(lanes as usize)),
    };
    let best = highest_of::<F>(logits, start, columns, &mut memory.sums, &mut memory.groups, lanes);
    let peak = score_of(best.key);
    let unscaled = Row { start, columns, peak, rate, scale: 1.0f32.runtime() };
    let all = Kept { threshold: 0u32.runtime(), first: 0u32.runtime() };
    let kept = if comptime!(plan.top_k) {
        let found = find_by::<F>(logits, &unscaled, &all, top_k, &mut memory, By::Count, lanes);
        Kept { threshold: found.key, first: 0u32.runtime() }
    } else {
        all
    };
    let total = total_weight::<F>(logits, &unscaled, &kept, lanes, comptime!(plan.plane));
    let scaled = Row { start, columns, peak, rate, scale: comptime!(WHOLE as f32) / total };
    let kept = if comptime!(plan.top_p) {
        let needed = u32::max(u32::cast_from(top_p * comptime!(WHOLE as f32)), 1u32);
        reaching::<F>(logits, &scaled, &kept, needed, &mut memory, lanes)
    } else {
        kept
    };
    let number = numbers[row];
    let id = drawn::<F>(logits, &scaled, &kept, number, best.place, &mut memory, lanes);
    if UNIT_POS == 0 {
        tell(ids, told, row, id, reason(best.key, limit));
    }
}

/// Why there is nothing to choose where this is the key of the highest logit, and no logit may be beyond a limit; 0 if
/// there is something.
#[cube]
fn reason(key: u32, limit: f32) -> i32 {
    let score = score_of(key);
    let infinite = key >= INFINITE || score > limit;
    let excluded = key <= EXCLUDED || score < -limit;
    select(infinite, NOT_FINITE, select(excluded, EXCLUDED_ALL, 0i32))
}

#[cube]
fn tell(ids: &mut [i32], told: &mut [i32], row: usize, id: u32, reason: i32) {
    let id = i32::cast_from(id);
    ids[row] = select(reason == 0, id, 0i32);
    told[row] = select(reason == 0, id, reason);
}
