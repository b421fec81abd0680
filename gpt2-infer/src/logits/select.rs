//! Selection without sorting the vocabulary.

use std::cmp::Ordering;

use super::EXCLUDED;
use crate::probability::{any_above, largest};

/// The `k`th largest score, by selection; the least of all where there are fewer, or minus
/// infinity.
///
/// Only scores above the `k`th largest so far are looked at again. Of tens of thousands of scores
/// few are, which is several times faster than selecting among all of them. `best` is memory to
/// work in.
pub(super) fn kth_largest(scores: &[f32], k: usize, best: &mut Vec<f32>) -> f32 {
    let k = k.min(scores.len());
    if k <= 1 {
        return largest(scores);
    }
    let room = (4 * k).max(256);
    best.clear();
    let mut lowest = EXCLUDED;
    let (blocks, rest) = scores.as_chunks();
    let mut look = |some: &[f32], lowest: &mut f32| {
        for &score in some {
            // Scores of minus infinity come back in below, where they are missing.
            if score > *lowest {
                best.push(score);
                if best.len() == room {
                    *lowest = select(best, k);
                    best.truncate(k);
                }
            }
        }
    };
    for block in blocks {
        if any_above(block, lowest) {
            look(block, &mut lowest);
        }
    }
    look(rest, &mut lowest);
    if best.len() < k { EXCLUDED } else { select(best, k) }
}

/// Moves the `k` largest to the front and returns the last of them.
fn select(scores: &mut [f32], k: usize) -> f32 {
    *scores.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Rules out scores below `threshold`, but not the `least` highest nor any that equals the last
/// of these.
pub(super) fn exclude_below(
    threshold: f64,
    least: usize,
    scores: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let threshold = threshold.min(f64::from(kth_largest(scores, least, scratch)));
    for score in scores {
        *score = if f64::from(*score) < threshold { EXCLUDED } else { *score };
    }
}

/// Moves the items that `wanted` asks for to the front, in order, and counts them; it is asked
/// about one after the other until it says no.
///
/// They are sorted piece by piece: behind the last one that is wanted the order does not matter,
/// and they are a small part of the vocabulary.
pub(crate) fn sorted_while<T>(
    items: &mut [T],
    compare: impl Fn(&T, &T) -> Ordering,
    mut wanted: impl FnMut(&T) -> bool,
) -> usize {
    let (mut taken, mut sorted) = (0, 0);
    while taken < items.len() {
        if taken == sorted {
            let piece = (4 * sorted).max(256);
            let rest = &mut items[sorted..];
            if piece < rest.len() {
                rest.select_nth_unstable_by(piece, &compare);
            }
            sorted += piece.min(rest.len());
            items[taken..sorted].sort_unstable_by(&compare);
        }
        if !wanted(&items[taken]) {
            break;
        }
        taken += 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(at: usize) -> u64 {
        (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
    }

    #[test]
    fn selection_agrees_with_sorting() {
        let falling: Vec<f32> = (0..5000).map(|at| -(at as f32)).collect();
        let rising: Vec<f32> = (0..5000).map(|at| at as f32).collect();
        let mixed: Vec<f32> = (0..5000).map(|at| hash(at) as f32).collect();
        let ties: Vec<f32> = (0..5000).map(|at| (hash(at) % 7) as f32).collect();
        let mut scratch = Vec::new();
        for scores in [falling, rising, mixed, ties] {
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for k in [1, 2, 50, 1249, 1250, 4999, 5000] {
                assert_eq!(kth_largest(&scores, k, &mut scratch), sorted[k - 1]);
            }
        }
    }

    #[test]
    fn what_is_excluded_counts_as_the_least() {
        let scores = [EXCLUDED, 1.0, EXCLUDED];
        for (k, expected) in [(1, 1.0), (2, EXCLUDED), (3, EXCLUDED), (9, EXCLUDED)] {
            assert_eq!(kth_largest(&scores, k, &mut Vec::new()), expected);
        }
    }

    #[test]
    fn the_least_number_outdoes_the_threshold() {
        let cut = |threshold, least| {
            let mut scores = [1.0, 3.0, 2.0, 2.0];
            exclude_below(threshold, least, &mut scores, &mut Vec::new());
            (0..4).filter(|&at| scores[at] != EXCLUDED).collect::<Vec<_>>()
        };
        assert_eq!(cut(2.0, 1), [1, 2, 3]);
        assert_eq!(cut(9.0, 1), [1]);
        assert_eq!(cut(2.5, 2), [1, 2, 3]);
        assert_eq!(cut(2.5, 9), [0, 1, 2, 3]);
    }

    #[test]
    fn sorting_by_pieces_agrees_with_sorting() {
        let items: Vec<u64> = (0..3000).map(hash).collect();
        let mut sorted = items.clone();
        sorted.sort_unstable();
        for count in [0, 1, 255, 256, 257, 1279, 1280, 1281, 2999, 3000] {
            let (mut pieces, mut left) = (items.clone(), count);
            let wanted = |_: &u64| {
                let wanted = left > 0;
                left -= usize::from(wanted);
                wanted
            };
            assert_eq!(sorted_while(&mut pieces, u64::cmp, wanted), count);
            assert_eq!(pieces[..count], sorted[..count]);
        }
    }
}
