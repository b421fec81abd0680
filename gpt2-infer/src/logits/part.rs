//! The tokens that come first, until their probabilities reach a sum.

use super::EXCLUDED;
use super::scratch::Scratch;
use crate::probability::{above, largest, weight};

/// Bins that keys are counted in, and bins to a key of 1: below the last bin of 32 nats there is
/// no probability that counts.
const BINS: usize = 1024;
const BINS_PER_NAT: f32 = 32.0;

/// Leaves the tokens with the least keys until their probabilities reach a part of the sum.
///
/// Nothing is sorted but what lies in one bin with the last of these tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Part {
    /// Whether all tokens stay whose key is that of the last one; otherwise those with the highest
    /// ids come first.
    ties: bool,
    bins: Scratch<Bin>,
    last: Scratch<Token>,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    count: usize,
    weight: f64,
}

struct Token {
    key: f32,
    score: f32,
    id: u32,
}

impl Part {
    /// Tokens stay whose key is that of the last one.
    pub fn with_ties() -> Self {
        Self { ties: true, ..Self::default() }
    }

    /// Rules out all scores but those with the least keys, in the order of falling scores where
    /// keys are equal, until these have `part` of the probability and are at least `least`.
    pub fn keep(&mut self, part: f64, least: usize, key: impl Fn(f32) -> f32, scores: &mut [f32]) {
        let largest = largest(scores);
        let (at, before, enough) = self.find(part, least, &key, largest, scores);
        // Bins are told apart by numbers that need no rounding: most tokens are looked at here.
        let low = at as f32;
        let high = if at == BINS - 1 { f32::INFINITY } else { low + 1.0 };
        let last = &mut self.last.0;
        last.clear();
        above(scores, EXCLUDED).for_each(|(id, score)| {
            let key = key(score);
            if (low..high).contains(&(key * BINS_PER_NAT)) {
                last.push(Token { key, score, id });
            }
        });
        last.sort_unstable_by(|a, b| {
            a.key.total_cmp(&b.key).then(b.score.total_cmp(&a.score)).then(b.id.cmp(&a.id))
        });
        for score in scores.iter_mut() {
            *score = if key(*score) * BINS_PER_NAT >= high { EXCLUDED } else { *score };
        }
        let (Bin { mut count, weight: mut sum }, mut kept) = (before, None);
        for token in last {
            let tie = self.ties && kept == Some(token.key);
            if sum >= enough && count >= least && !tie {
                scores[token.id as usize] = EXCLUDED;
                continue;
            }
            count += 1;
            sum += weight(token.score, largest);
            kept = Some(token.key);
        }
    }

    /// The bin of the last token that stays, what lies before it, and the sum that is enough.
    fn find(
        &mut self,
        part: f64,
        least: usize,
        key: impl Fn(f32) -> f32,
        largest: f32,
        scores: &[f32],
    ) -> (usize, Bin, f64) {
        let bins = &mut self.bins.0;
        bins.clear();
        bins.resize(BINS, Bin::default());
        above(scores, EXCLUDED).for_each(|(_, score)| {
            let bin = &mut bins[bin_of(key(score))];
            bin.count += 1;
            bin.weight += weight(score, largest);
        });
        let enough = part * bins.iter().map(|bin| bin.weight).sum::<f64>();
        let mut before = Bin::default();
        for (at, bin) in bins.iter().enumerate() {
            let with = Bin { count: before.count + bin.count, weight: before.weight + bin.weight };
            if (with.weight >= enough && with.count >= least) || at == BINS - 1 {
                return (at, before, enough);
            }
            before = with;
        }
        (BINS - 1, before, enough)
    }
}

/// The bin of a key that is not negative.
fn bin_of(key: f32) -> usize {
    ((key * BINS_PER_NAT) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_agree_with_sorting() {
        let count = 3000;
        let hash = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
        for (spread, part, least) in [
            (1e-5, 0.3, 1),
            (1e-5, 0.95, 1),
            (1e-7, 0.95, 1),
            (1e-4, 0.99, 1),
            (1e-4, 0.01, 700),
            (1e-4, 0.01, 9999),
        ] {
            let mut scores: Vec<f32> = (0..count).map(|at| -(hash(at) as f32 * spread)).collect();
            let best = largest(&scores);
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(b.cmp(&a)));
            let enough: f64 = scores.iter().map(|&score| weight(score, best)).sum::<f64>() * part;
            let (mut sum, mut kept) = (0.0, Vec::new());
            for at in order {
                if sum < enough || kept.len() < least {
                    sum += weight(scores[at], best);
                    kept.push(at);
                }
            }
            kept.sort_unstable();
            Part::default().keep(part, least, |score| best - score, &mut scores);
            let found = (0..scores.len()).filter(|&at| scores[at] != EXCLUDED);
            assert_eq!(found.collect::<Vec<_>>(), kept, "{spread} {part} {least}");
        }
    }
}
