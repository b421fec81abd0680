//! The search for the lowest logit that is kept.

use cubecl::prelude::*;

use super::highest::{key_of, score_of};
use super::kept::{Kept, READ, Row, is_kept, read, share_of};

/// A key is found digit by digit: 11 bits, 11 bits, 10 bits.
pub(super) const BINS: usize = 2048;
const LEVELS: usize = 3;
const SHIFTS: [u32; LEVELS] = [21, 10, 0];

/// What is gone through from the highest down, and what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// Keys of the logits; how many they are.
    Count,
    /// Keys of the logits; their shares.
    Share,
    /// Places of the logits that are at the threshold; how many they are.
    Place,
}

/// Shared memory of a cube.
#[derive(CubeType)]
pub(super) struct Memory {
    /// What is counted for every digit.
    pub bins: Shared<[Atomic<u32>]>,
    /// Sums of units, and of groups of them; as long as the cube has units.
    pub sums: Shared<[u32]>,
    pub groups: Shared<[u32]>,
}

/// Where a search has ended.
#[derive(CubeType)]
pub(super) struct Found {
    pub key: u32,
    /// What was counted above the key.
    pub above: u32,
    /// What was counted at the key.
    pub own: u32,
}

/// The highest key that `needed` is reached with by what is counted at it and above. All units of the cube have to
/// call it, and all get the same.
///
/// Bins are filled by atomic additions, of whole numbers, which give the same in any order. With 0 needed nothing is read.
#[cube]
pub(super) fn find_by<F: Float>(
    logits: &[F],
    row: &Row,
    kept: &Kept,
    needed: u32,
    memory: &mut Memory,
    #[comptime] by: By,
    #[comptime] lanes: u32,
) -> Found {
    let mut key = 0u32;
    let mut above = 0u32;
    let mut own = 0u32;
    #[unroll]
    for level in 0..LEVELS {
        let shift = comptime!(SHIFTS[level]);
        let known = comptime!(if level == 0 { 0 } else { SHIFTS[level - 1] });
        let mut bin = UNIT_POS as usize;
        while bin < BINS {
            memory.bins[bin].store(0u32);
            bin += comptime!(lanes as usize);
        }
        sync_cube();
        let mut at = select(needed > 0, UNIT_POS as usize, row.columns);
        while at < row.columns {
            let scores = read::<F>(logits, row.start, row.columns, at, comptime!(lanes as usize));
            #[unroll]
            for turn in 0..READ {
                let (score, place) = (scores[turn], at + comptime!(turn * lanes as usize));
                let own_key = key_of(score);
                let digits = match by {
                    By::Place => place as u32,
                    By::Count | By::Share => own_key,
                };
                let counts = match by {
                    By::Place => own_key == kept.threshold,
                    By::Count | By::Share => is_kept(kept, own_key, place as u32),
                };
                let fits = if comptime!(level == 0) {
                    true.runtime()
                } else {
                    digits >> known == key >> known
                };
                if place < row.columns && counts && fits {
                    let digit = (digits >> shift) % (BINS as u32);
                    let measure = match by {
                        By::Share => share_of(score, row),
                        By::Count | By::Place => 1u32.runtime(),
                    };
                    memory.bins[digit as usize].fetch_add(measure);
                }
            }
            at += comptime!(READ * lanes as usize);
        }
        sync_cube();
        let found = highest_digit(memory, needed, above, lanes);
        key |= found.key << shift;
        above = found.above;
        own = found.own;
    }
    Found { key, above, own }
}

/// The fewest of what is kept whose shares reach `needed`, the likeliest ones first and of equals those with the highest ids.
#[cube]
pub(super) fn reaching<F: Float>(
    logits: &[F],
    row: &Row,
    kept: &Kept,
    needed: u32,
    memory: &mut Memory,
    #[comptime] lanes: u32,
) -> Kept {
    let found = find_by::<F>(logits, row, kept, needed, memory, By::Share, lanes);
    let threshold = found.key;
    let own = u32::max(share_of(score_of(threshold), row), 1u32);
    let missing = select(needed > found.above, needed - found.above, 1u32);
    let ties = (missing - 1) / own + 1;
    // Where all of them are needed there is nothing to look for.
    let sought = select(ties < found.own / own, ties, 0u32);
    let equal = Kept { threshold, first: 0u32.runtime() };
    let last = find_by::<F>(logits, row, &equal, sought, memory, By::Place, lanes);
    Kept { threshold, first: select(sought > 0, last.key, 0u32) }
}

/// The highest bin that `needed` is reached with, by what is in it and above: bins of units, units of groups.
#[cube]
fn highest_digit(memory: &mut Memory, needed: u32, above: u32, #[comptime] lanes: u32) -> Found {
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let groups = comptime!(lanes as usize / size);
    let held = comptime!(BINS / lanes as usize);
    let unit = UNIT_POS as usize;
    let mut sum = 0u32;
    #[unroll]
    for at in 0..held {
        sum += memory.bins[unit * held + at].load();
    }
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
    let mut above = above;
    let mut group = comptime!(groups - 1).runtime();
    while group > 0 && above + memory.groups[group] < needed {
        above += memory.groups[group];
        group -= 1;
    }
    let mut unit = group * size + comptime!(size - 1);
    while unit > group * size && above + memory.sums[unit] < needed {
        above += memory.sums[unit];
        unit -= 1;
    }
    let mut bin = unit * held + comptime!(held - 1);
    while bin > unit * held && above + memory.bins[bin].load() < needed {
        above += memory.bins[bin].load();
        bin -= 1;
    }
    let own = memory.bins[bin].load();
    // Nobody may write here before all have read.
    sync_cube();
    Found { key: bin as u32, above, own }
}
