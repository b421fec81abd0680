//! Continuations of all beams of a prompt, weighed against each other.

use std::cmp::Ordering;

/// A token that may follow a beam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Which beam it follows.
    pub beam: usize,
    /// The token.
    pub id: u32,
    /// Log-probability of the beam with it.
    pub score: f32,
}

impl Candidate {
    /// The one at a place of `[beams, vocab]` scores.
    pub fn at(place: usize, vocab: usize, score: f32) -> Self {
        Self { beam: place / vocab, id: (place % vocab) as u32, score }
    }
}

/// The `count` best of `[beams, vocab]` scores, the best first; of equal ones the first first.
/// Excluded ones are left out.
///
/// By selection: only scores above the `count`th best so far are looked at again.
pub(super) fn best(scores: &[f32], vocab: usize, count: usize) -> Vec<Candidate> {
    let room = (4 * count).max(256);
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(room.min(scores.len()));
    let mut lowest = f32::NEG_INFINITY;
    for (place, &score) in scores.iter().enumerate() {
        if score > lowest {
            best.push((place, score));
            if best.len() == room {
                best.select_nth_unstable_by(count - 1, by_score);
                best.truncate(count);
                lowest = best[count - 1].1;
            }
        }
    }
    best.sort_unstable_by(by_score);
    best.truncate(count);
    best.into_iter().map(|(place, score)| Candidate::at(place, vocab, score)).collect()
}

fn by_score(a: &(usize, f32), b: &(usize, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_all_beams_come_in_order() {
        let out = f32::NEG_INFINITY;
        let found = best(&[-3.0, -1.0, out, -2.0, -1.0, -9.0], 3, 4);
        let found: Vec<_> = found.iter().map(|c| (c.beam, c.id, c.score)).collect();
        assert_eq!(found, [(0, 1, -1.0), (1, 1, -1.0), (1, 0, -2.0), (0, 0, -3.0)]);
        assert_eq!(best(&[out, -1.0], 2, 4).len(), 1);
    }

    #[test]
    fn selection_agrees_with_sorting() {
        let hash = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as f32;
        let scores: Vec<f32> = (0..4000).map(hash).collect();
        let mut sorted: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        sorted.sort_by(by_score);
        let found = best(&scores, 1000, 70);
        let expected = sorted[..70].iter().map(|&(place, score)| Candidate::at(place, 1000, score));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
