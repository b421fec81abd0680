//! The highest logit of a row, and logits as whole numbers of the same order.

use cubecl::prelude::*;

use super::kept::{READ, read};

/// Keys of plus and minus infinity; NaN is above the one.
pub(super) const INFINITE: u32 = 0xff80_0000;
pub(super) const EXCLUDED: u32 = 0x007f_ffff;

const SIGN: u32 = 0x8000_0000;
const ALL: u32 = 0xffff_ffff;

/// A whole number for a score: of two scores the higher one has the higher number, equal ones have the same, and NaN has
/// the highest.
///
/// The bits are looked at, since a compiler for a GPU may take for granted that there are no infinities and no NaN.
#[cube]
pub(super) fn key_of(score: f32) -> u32 {
    let bits = u32::reinterpret(score);
    let is_nan = (bits & 0x7fff_ffffu32) > 0x7f80_0000u32;
    // Of the two zeros there is one.
    let bits = select(bits == SIGN, 0u32, bits);
    let key = select(bits >= SIGN, bits ^ ALL, bits | SIGN);
    select(is_nan, ALL, key)
}

/// The score of a key.
#[cube]
pub(super) fn score_of(key: u32) -> f32 {
    f32::reinterpret(select(key >= SIGN, key ^ SIGN, key ^ ALL))
}

/// The highest key of a row, and its first place.
#[derive(CubeType)]
pub(super) struct Highest {
    pub key: u32,
    pub place: u32,
}

/// The highest of a row, which all units get. All units of the cube have to call it.
///
/// # Shapes
/// - keys, places: as long as the cube has units
#[cube]
pub(super) fn highest_of<F: Float>(
    logits: &[F],
    start: usize,
    columns: usize,
    keys: &mut Shared<[u32]>,
    places: &mut Shared<[u32]>,
    #[comptime] lanes: u32,
) -> Highest {
    let mut key = 0u32;
    let mut place = 0u32;
    let mut at = UNIT_POS as usize;
    while at < columns {
        let scores = read::<F>(logits, start, columns, at, comptime!(lanes as usize));
        #[unroll]
        for turn in 0..READ {
            let other_place = at + comptime!(turn * lanes as usize);
            let other = select(other_place < columns, key_of(scores[turn]), 0u32);
            place = select(other > key, other_place as u32, place);
            key = u32::max(key, other);
        }
        at += comptime!(READ * lanes as usize);
    }
    // Groups first, and then all groups by every unit.
    let size = comptime!(1usize << lanes.ilog2().div_ceil(2));
    let groups = comptime!(lanes as usize / size);
    let unit = UNIT_POS as usize;
    keys[unit] = key;
    places[unit] = place;
    sync_cube();
    if unit < groups {
        #[unroll]
        for at in 1..size {
            let other = unit + at * groups;
            let is_other = comes_first(keys[other], places[other], key, place);
            key = select(is_other, keys[other], key);
            place = select(is_other, places[other], place);
        }
        // Nobody else reads these elements before the barrier.
        keys[unit] = key;
        places[unit] = place;
    }
    sync_cube();
    key = keys[0];
    place = places[0];
    #[unroll]
    for at in 1..groups {
        let is_other = comes_first(keys[at], places[at], key, place);
        key = select(is_other, keys[at], key);
        place = select(is_other, places[at], place);
    }
    // Nobody may write here before all have read.
    sync_cube();
    Highest { key, place }
}

#[cube]
fn comes_first(key: u32, place: u32, than_key: u32, than_place: u32) -> bool {
    key > than_key || (key == than_key && place < than_place)
}
