//! The draw of one of the logits that are kept.

use cubecl::prelude::*;

use super::super::lanes::sum_of_lanes;
use super::highest::key_of;
use super::kept::{Kept, READ, Row, is_kept, read, share_of, weight_of};
use super::search::Memory;

/// The sum of the weights that are kept, in a fixed order.
#[cube]
pub(super) fn total_weight<F: Float>(
    logits: &[F],
    row: &Row,
    kept: &Kept,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
) -> f32 {
    let mut sum = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < row.columns {
        let scores = read::<F>(logits, row.start, row.columns, at, comptime!(lanes as usize));
        #[unroll]
        for turn in 0..READ {
            let (score, place) = (scores[turn], at + comptime!(turn * lanes as usize));
            let counts = place < row.columns && is_kept(kept, key_of(score), place as u32);
            sum += select(counts, weight_of(score, row), 0.0f32);
        }
        at += comptime!(READ * lanes as usize);
    }
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes as usize));
    sum_of_lanes(sum, &mut scratch, lanes, plane)
}

/// The share of a place if it is kept, else 0.
#[cube]
fn share_at(score: f32, place: usize, row: &Row, kept: &Kept) -> u32 {
    select(is_kept(kept, key_of(score), place as u32), share_of(score, row), 0u32)
}

/// The first place at which the sum of shares, in the order of places, is above a part of their total; `number` is the
/// part, in `[0, 1)`. All units of the cube have to call it, and all get the same.
///
/// First every group of units adds up a run of places, then every unit a part of the run that the place is in.
#[cube]
pub(super) fn drawn<F: Float>(
    logits: &[F],
    row: &Row,
    kept: &Kept,
    number: f32,
    likeliest: u32,
    memory: &mut Memory,
    #[comptime] lanes: u32,
) -> u32 {
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let unit = UNIT_POS as usize;
    let run = row.columns.div_ceil(comptime!(lanes as usize / size));
    let begin = unit / size * run;
    let end = usize::min(begin + run, row.columns);
    let mut sum = 0u32;
    let mut at = begin + unit % size;
    while at < end {
        let scores = read::<F>(logits, row.start, end, at, size);
        #[unroll]
        for turn in 0..READ {
            let place = at + comptime!(turn * size);
            sum += select(place < end, share_at(scores[turn], place, row, kept), 0u32);
        }
        at += comptime!(READ * size);
    }
    let total = added(sum, memory, lanes);
    let part = u32::cast_from(number * f32::cast_from(total));
    let group = group_of(memory, u32::min(part, u32::max(total, 1u32) - 1), lanes);
    let begin = group.at * run;
    let end = usize::min(begin + run, row.columns);
    // Nobody may write sums before all have read these.
    sync_cube();

    let own_run = run.div_ceil(comptime!(lanes as usize));
    let own_end = usize::min(begin + (unit + 1) * own_run, end);
    let mut sum = 0u32;
    let mut at = begin + unit * own_run;
    while at < own_end {
        sum += share_at(f32::cast_from(logits[row.start + at]), at, row, kept);
        at += 1;
    }
    let _ = added(sum, memory, lanes);
    let chosen = unit_of(memory, group.left, lanes);
    let mut left = chosen.left;
    let mut at = begin + chosen.at * own_run;
    let end = usize::min(at + own_run, end);
    let mut place = likeliest;
    let mut is_sought = true.runtime();
    while at < end && is_sought {
        let share = share_at(f32::cast_from(logits[row.start + at]), at, row, kept);
        place = select(share > 0, at as u32, place);
        is_sought = share <= left;
        left -= u32::min(share, left);
        at += 1;
    }
    place
}

/// A group or a unit, and what is left of a sum before it.
#[derive(CubeType)]
struct Reached {
    at: usize,
    left: u32,
}

/// The first group with which the sums of groups are above `left`; the last one if none is.
#[cube]
fn group_of(memory: &mut Memory, left: u32, #[comptime] lanes: u32) -> Reached {
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let last = comptime!(lanes as usize / size - 1);
    let mut left = left;
    let mut at = 0usize.runtime();
    while at < last && memory.groups[at] <= left {
        left -= memory.groups[at];
        at += 1;
    }
    Reached { at, left }
}

/// As [`group_of`], of all units.
#[cube]
fn unit_of(memory: &mut Memory, left: u32, #[comptime] lanes: u32) -> Reached {
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let group = group_of(memory, left, lanes);
    let mut left = group.left;
    let mut at = group.at * size;
    let last = at + comptime!(size - 1);
    while at < last && memory.sums[at] <= left {
        left -= memory.sums[at];
        at += 1;
    }
    Reached { at, left }
}

/// The sum of all units' sums, which stay in memory with those of groups.
#[cube]
fn added(sum: u32, memory: &mut Memory, #[comptime] lanes: u32) -> u32 {
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let groups = comptime!(lanes as usize / size);
    let unit = UNIT_POS as usize;
    memory.sums[unit] = sum;
    sync_cube();
    if unit < groups {
        let mut sum = 0u32;
        #[unroll]
        for at in 0..size {
            sum += memory.sums[unit * size + at];
        }
        memory.groups[unit] = sum;
    }
    sync_cube();
    let mut total = 0u32;
    #[unroll]
    for at in 0..groups {
        total += memory.groups[at];
    }
    total
}
