//! The logits of a row: how they are read, which of them may be drawn, and how likely each is.

use cubecl::prelude::*;

/// Below this the exponential is 0; infinities do not get so far.
const LEAST: f32 = -200.0;

/// Logits that a unit reads at a time: it waits for memory once and not for each of them.
pub(super) const READ: usize = 4;

/// The logit at a place and those every so many places behind it; behind the end, the last one again.
#[cube]
pub(super) fn read<F: Float>(
    logits: &[F],
    start: usize,
    end: usize,
    at: usize,
    #[comptime] apart: usize,
) -> Array<f32> {
    let mut scores = Array::<f32>::new(READ);
    #[unroll]
    for turn in 0..READ {
        let place = usize::min(at + comptime!(turn * apart), end - 1);
        scores[turn] = f32::cast_from(logits[start + place]);
    }
    scores
}

/// The logits that are kept: those above a threshold, and of those at the threshold the ones from a place on.
#[derive(CubeType)]
pub(super) struct Kept {
    /// A key.
    pub threshold: u32,
    pub first: u32,
}

#[cube]
pub(super) fn is_kept(kept: &Kept, key: u32, place: u32) -> bool {
    key > kept.threshold || (key == kept.threshold && place >= kept.first)
}

/// Where a row lies, and what probabilities are made of there.
#[derive(CubeType)]
pub(super) struct Row {
    pub start: usize,
    pub columns: usize,
    /// The highest logit.
    pub peak: f32,
    /// One by the temperature.
    pub rate: f32,
    /// What shares are of the weights.
    pub scale: f32,
}

/// A probability before it is divided by the sum of all.
#[cube]
pub(super) fn weight_of(score: f32, row: &Row) -> f32 {
    f32::exp(f32::max((score - row.peak) * row.rate, f32::new(LEAST)))
}

/// A probability as a whole number.
#[cube]
pub(super) fn share_of(score: f32, row: &Row) -> u32 {
    u32::cast_from(weight_of(score, row) * row.scale + 0.5f32)
}
