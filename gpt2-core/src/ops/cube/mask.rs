//! The mask of dropout in a kernel: the same bits as [`Mask::at`], from numbers of 32 bits.
//!
//! Not every GPU has 64-bit integers, so those of the hash are pairs.

use cubecl::prelude::*;

use crate::ops::dropout::Mask;

/// A [`Mask`] as kernels take it.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Dropout {
    pub key_low: u32,
    pub key_high: u32,
    pub threshold: u32,
    pub scale: f32,
}

/// The argument that stands for a mask when a kernel is launched.
pub(super) fn argument(mask: Mask) -> DropoutLaunch {
    let (key, threshold, scale) = mask.parts();
    DropoutLaunch::new(key as u32, (key >> 32) as u32, threshold, scale)
}

/// A number of 64 bits.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Wide {
    pub low: u32,
    pub high: u32,
}

/// The mask's element at a place: 0 or its scale.
#[cube]
pub(super) fn keep(mask: &Dropout, place: &Wide) -> f32 {
    let bits = bits(mask, place);
    kept(mask, select(place.low & 1 == 0, bits.low, bits.high))
}

/// The mask's elements at an even place and at the one behind it, which share a hash.
#[cube]
pub(super) fn keep_pair(mask: &Dropout, place: &Wide) -> (f32, f32) {
    let bits = bits(mask, place);
    (kept(mask, bits.low), kept(mask, bits.high))
}

/// The hash of the pair that a place is in: the low half is of its even place, the high one of the odd.
#[cube]
fn bits(mask: &Dropout, place: &Wide) -> Wide {
    let pair = Wide { low: (place.low >> 1) | (place.high << 31), high: place.high >> 1 };
    let key = Wide { low: mask.key_low, high: mask.key_high };
    hash(&sum(&key, &pair))
}

#[cube]
fn kept(mask: &Dropout, drawn: u32) -> f32 {
    select(drawn >= mask.threshold, mask.scale, 0.0f32)
}

/// The mask's element for a key of a query, which is number `query` of all; 1 where there is no mask.
#[cube]
pub(super) fn element(
    dropout: &ComptimeOption<Dropout>,
    query: usize,
    seq: usize,
    key: usize,
) -> f32 {
    #[comptime]
    match dropout {
        ComptimeOption::Some(dropout) => {
            keep(dropout, &place(query as u32, seq as u32, key as u32))
        }
        ComptimeOption::None => 1.0f32.runtime(),
    }
}

/// `row * width + column`.
#[cube]
pub(super) fn place(row: u32, width: u32, column: u32) -> Wide {
    let first = Wide { low: row * width, high: row.mul_hi(width) };
    sum(&first, &Wide { low: column, high: 0u32.runtime() })
}

/// The output function of splitmix64 (Steele, Lea and Flood 2014).
#[cube]
fn hash(counter: &Wide) -> Wide {
    let bits = product(counter, 0x7f4a_7c15u32, 0x9e37_79b9u32);
    let bits = product(&shifted_xor(&bits, 30u32), 0x1ce4_e5b9u32, 0xbf58_476du32);
    let bits = product(&shifted_xor(&bits, 27u32), 0x1331_11ebu32, 0x94d0_49bbu32);
    shifted_xor(&bits, 31u32)
}

#[cube]
fn sum(a: &Wide, b: &Wide) -> Wide {
    let low = a.low + b.low;
    let carry = select(low < a.low, 1u32, 0u32);
    Wide { low, high: a.high + b.high + carry }
}

#[cube]
fn product(a: &Wide, #[comptime] low: u32, #[comptime] high: u32) -> Wide {
    let high_part = a.low.mul_hi(low) + a.low * high + a.high * low;
    Wide { low: a.low * low, high: high_part }
}

/// `x ^ (x >> by)`, for less than 32.
#[cube]
fn shifted_xor(x: &Wide, #[comptime] by: u32) -> Wide {
    let back = comptime!(32 - by);
    Wide { low: x.low ^ ((x.low >> by) | (x.high << back)), high: x.high ^ (x.high >> by) }
}
