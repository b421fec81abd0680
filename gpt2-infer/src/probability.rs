//! From scores to probabilities.

/// Scores that are looked at together; most of a vocabulary is passed over in such blocks.
const BLOCK: usize = 16;

/// The largest score; minus infinity where there is none. NaN counts as no score.
pub(crate) fn largest(scores: &[f32]) -> f32 {
    // Running maxima side by side instead of one: the compiler turns them into vector registers.
    let (blocks, rest) = scores.as_chunks::<BLOCK>();
    let mut lanes = [f32::NEG_INFINITY; BLOCK];
    for block in blocks {
        for (lane, &score) in lanes.iter_mut().zip(block) {
            *lane = if score > *lane { score } else { *lane };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
}

/// Whether a score is NaN.
pub(crate) fn has_nan(scores: &[f32]) -> bool {
    let (blocks, rest) = scores.as_chunks::<BLOCK>();
    let any = |some: &[f32]| some.iter().fold(false, |any, score| any | score.is_nan());
    blocks.iter().any(|block| any(block)) || any(rest)
}

/// Whether a score of the block is greater than `least`.
///
/// Without an early exit, which would keep the compiler from comparing several at once.
pub(crate) fn any_above(block: &[f32; BLOCK], least: f32) -> bool {
    block.iter().fold(false, |any, &score| any | (score > least))
}

/// Ids and scores of all that are greater than `least`, by id.
///
/// Where most of a vocabulary comes out, `for_each` is faster than a loop.
pub(crate) fn above(scores: &[f32], least: f32) -> impl Iterator<Item = (u32, f32)> {
    let (blocks, rest) = scores.as_chunks::<BLOCK>();
    let behind = (scores.len() - rest.len()) as u32;
    let found = blocks.iter().enumerate().filter(move |(_, block)| any_above(block, least));
    found
        .flat_map(|(at, block)| ((at * BLOCK) as u32..).zip(*block))
        .chain((behind..).zip(rest.iter().copied()))
        .filter(move |(_, score)| *score > least)
}

/// `exp(score - largest)`: a probability before it is divided by the sum of all of them.
pub(crate) fn weight(score: f32, largest: f32) -> f64 {
    (f64::from(score) - f64::from(largest)).exp()
}

/// The distribution that scores stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Softmax {
    /// The largest score.
    pub largest: f32,
    /// Sum of the weights.
    pub total: f64,
    /// Entropy in nats.
    pub entropy: f64,
}

impl Softmax {
    /// Of these scores, in double precision.
    pub fn of(scores: &[f32]) -> Self {
        let largest = largest(scores);
        let (mut total, mut sum) = (0.0, 0.0);
        above(scores, f32::NEG_INFINITY).for_each(|(_, score)| {
            let distance = f64::from(score) - f64::from(largest);
            let weight = distance.exp();
            total += weight;
            sum += weight * distance;
        });
        Self { largest, total, entropy: total.ln() - sum / total }
    }

    /// Logarithm of the probability of a token with this score.
    pub fn log_probability(&self, score: f32) -> f64 {
        f64::from(score) - f64::from(self.largest) - self.total.ln()
    }

    /// The score of a token with this probability.
    pub fn score(&self, probability: f64) -> f64 {
        f64::from(self.largest) + (probability * self.total).ln()
    }
}

/// The logarithm of the probability of `id`, `log_softmax(scores)[id]`.
pub(crate) fn log_probability(scores: &[f32], id: u32) -> f64 {
    let score = scores.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    Softmax::of(scores).log_probability(score)
}

/// Scores to logarithms of probabilities, which is what beam search gives to processors.
pub(crate) fn log_softmax(scores: &mut [f32]) {
    let best = largest(scores);
    let total: f64 = scores.iter().map(|&score| weight(score, best)).sum();
    let total = total.ln() as f32;
    for score in scores {
        *score = *score - best - total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_what_is_left_behind_them_are_looked_at() {
        for count in [0, 1, 15, 16, 17, 100] {
            let mut scores = vec![f32::NEG_INFINITY; count];
            assert_eq!(above(&scores, f32::NEG_INFINITY).count(), 0);
            assert!(!has_nan(&scores));
            for at in 0..count {
                scores[at] = 2.0;
                assert_eq!(largest(&scores), 2.0);
                assert_eq!(above(&scores, 1.0).collect::<Vec<_>>(), [(at as u32, 2.0)]);
                assert_eq!(above(&scores, 2.0).count(), 0);
                scores[at] = f32::NAN;
                assert!(has_nan(&scores));
                assert_eq!(largest(&scores), f32::NEG_INFINITY);
                scores[at] = f32::NEG_INFINITY;
            }
        }
    }

    #[test]
    fn a_softmax_knows_probabilities_and_entropy() {
        let scores = [1.0, 1.0 + (2f32).ln(), f32::NEG_INFINITY, 1.0];
        let softmax = Softmax::of(&scores);
        assert!((softmax.log_probability(scores[1]) - 0.5f64.ln()).abs() < 1e-7);
        assert!((softmax.score(0.25) - 1.0).abs() < 1e-7);
        assert!((softmax.entropy - 1.5 * 2f64.ln()).abs() < 1e-7);
    }
}
