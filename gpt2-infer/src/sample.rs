//! The choice of the next token.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::probability::{largest, weight};

/// Chooses tokens for one sequence, and holds the random generator if there is one.
#[derive(Debug, Clone)]
pub struct Sampler(Choice);

#[derive(Debug, Clone)]
enum Choice {
    Greedy,
    Multinomial {
        random: Box<ChaCha8Rng>,
        /// Ids that can be drawn, with their weights; kept between steps for its memory.
        weights: Vec<(u32, f64)>,
    },
}

impl Sampler {
    /// Takes the token with the highest score, the one with the lowest id where several have it.
    #[must_use]
    pub fn greedy() -> Self {
        Self(Choice::Greedy)
    }

    /// Draws tokens with the probabilities that the scores stand for, `softmax(scores)`.
    ///
    /// One pair of `seed` and `stream` gives one row of draws on every platform, and different
    /// streams of one seed are independent: give each sequence its own.
    #[must_use]
    pub fn multinomial(seed: u64, stream: u64) -> Self {
        let mut random = Box::new(ChaCha8Rng::seed_from_u64(seed));
        random.set_stream(stream);
        Self(Choice::Multinomial { random, weights: Vec::new() })
    }

    /// The id of the chosen token; `None` when every score is minus infinity, or one is NaN or
    /// plus infinity.
    pub fn choose(&mut self, scores: &[f32]) -> Option<u32> {
        let best = largest(scores);
        if !best.is_finite() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        match &mut self.0 {
            Choice::Greedy => {
                (0..).zip(scores).find(|(_, score)| **score == best).map(|(id, _)| id)
            }
            Choice::Multinomial { random, weights } => {
                weights.clear();
                let possible = (0..).zip(scores).filter(|(_, score)| **score > f32::NEG_INFINITY);
                weights.extend(possible.map(|(id, &score)| (id, weight(score, best))));
                draw(random, weights)
            }
        }
    }
}

/// Draws an id in proportion to its weight; the weights are not negative and one is positive.
fn draw(random: &mut ChaCha8Rng, weights: &[(u32, f64)]) -> Option<u32> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = random.random::<f64>() * total;
    for &(id, weight) in weights {
        left -= weight;
        if left < 0.0 {
            return Some(id);
        }
    }
    // Rounding can leave a remainder as large as the last bit of the sum.
    weights.iter().rev().find(|(_, weight)| *weight > 0.0).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBABILITIES: [f64; 5] = [0.4, 0.3, 0.2, 0.07, 0.03];
    const DRAWS: usize = 20_000;

    /// Pearson's statistic of draws from `drawn` against what `expected` predicts.
    fn chi_square(drawn: &[f64], expected: &[f64]) -> f64 {
        let scores: Vec<f32> = drawn.iter().map(|p| p.ln() as f32 + 3.0).collect();
        let mut counts = vec![0.0; drawn.len()];
        let mut sampler = Sampler::multinomial(11, 5);
        for _ in 0..DRAWS {
            counts[sampler.choose(&scores).unwrap() as usize] += 1.0;
        }
        let terms = counts.iter().zip(expected).map(|(count, p)| {
            let mean = p * DRAWS as f64;
            (count - mean) * (count - mean) / mean
        });
        terms.sum()
    }

    /// Exceeded with probability 0.001 by a chi-square of 4 degrees of freedom.
    const CRITICAL: f64 = 18.47;

    #[test]
    fn draws_follow_the_softmax_of_the_scores() {
        let statistic = chi_square(&PROBABILITIES, &PROBABILITIES);
        assert!(statistic < CRITICAL, "{statistic}");
    }

    #[test]
    fn the_test_of_draws_notices_another_distribution() {
        let near = [0.38, 0.32, 0.2, 0.07, 0.03];
        let statistic = chi_square(&near, &PROBABILITIES);
        assert!(statistic > CRITICAL, "{statistic}");
    }

    #[test]
    fn greedy_takes_the_first_of_the_highest_scores() {
        assert_eq!(Sampler::greedy().choose(&[1.0, 3.0, f32::NEG_INFINITY, 3.0]), Some(1));
    }

    #[test]
    fn a_seed_and_a_stream_give_one_row_of_draws() {
        let row = |seed, stream| {
            let mut sampler = Sampler::multinomial(seed, stream);
            (0..40).map(|_| sampler.choose(&[0.0; 1000])).collect::<Vec<_>>()
        };
        assert_eq!(row(3, 4), row(3, 4));
        assert_ne!(row(3, 4), row(3, 5));
        assert_ne!(row(3, 4), row(4, 4));
    }

    #[test]
    fn excluded_tokens_are_never_drawn() {
        let mut sampler = Sampler::multinomial(0, 0);
        let scores = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, -80.0];
        assert!((0..1000).all(|_| sampler.choose(&scores) == Some(1)));
    }

    #[test]
    fn nothing_is_chosen_where_nothing_is_left_or_nothing_is_known() {
        for scores in [vec![], vec![f32::NEG_INFINITY; 9], vec![0.0, f32::NAN], vec![f32::INFINITY]]
        {
            assert_eq!(Sampler::greedy().choose(&scores), None);
            assert_eq!(Sampler::multinomial(1, 1).choose(&scores), None);
        }
    }
}
