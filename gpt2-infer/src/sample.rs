//! The choice of the next token.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::logits::{EXCLUDED, kth_largest};
use crate::probability::{above, has_nan, largest, weight};

/// Chooses tokens for one sequence, and holds the random generator if there is one.
#[derive(Debug, Clone)]
pub struct Sampler(Choice);

#[derive(Debug, Clone)]
enum Choice {
    Greedy,
    Multinomial {
        random: Box<ChaCha8Rng>,
        /// Kept between steps for its memory.
        urn: Urn,
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
        Self(Choice::Multinomial { random, urn: Urn::default() })
    }

    /// The id of the chosen token; `None` when every score is minus infinity, or one is NaN or
    /// plus infinity.
    pub fn choose(&mut self, scores: &[f32]) -> Option<u32> {
        let best = largest(scores);
        if !best.is_finite() || has_nan(scores) {
            return None;
        }
        match &mut self.0 {
            Choice::Greedy => scores.iter().position(|&score| score == best).map(|id| id as u32),
            Choice::Multinomial { random, urn } => {
                urn.fill(scores, best);
                urn.draw(random).map(|at| urn.tokens[at].0)
            }
        }
    }

    /// The random number of the next draw, for a device that draws; `None` without a draw.
    ///
    /// It is the number that [`choose`](Self::choose) would draw with, in single precision.
    pub(crate) fn number(&mut self) -> Option<f32> {
        match &mut self.0 {
            Choice::Greedy => None,
            // Below 1, in single precision too.
            Choice::Multinomial { random, .. } => {
                Some((random.random::<f64>() as f32).min(1.0f32.next_down()))
            }
        }
    }

    /// `n` different ids, drawn one after the other with the probabilities that the scores stand
    /// for among those that are left; without a draw those with the highest scores, in the order
    /// of [`choose`](Self::choose).
    ///
    /// Fewer where fewer scores are above minus infinity, and none where one is NaN or plus
    /// infinity. Equals `torch.multinomial` without replacement in distribution.
    pub fn draw_without_replacement(&mut self, scores: &[f32], n: usize) -> Vec<u32> {
        let best = largest(scores);
        if !best.is_finite() || has_nan(scores) {
            return Vec::new();
        }
        match &mut self.0 {
            Choice::Greedy => highest(scores, n),
            Choice::Multinomial { random, urn } => {
                urn.fill(scores, best);
                let n = n.min(urn.tokens.len());
                let mut drawn = Vec::with_capacity(n);
                while drawn.len() < n {
                    match urn.draw(random) {
                        Some(at) => drawn.push(urn.take(at)),
                        // What is left is too unlikely beside what is gone for a number: measure
                        // it by itself.
                        None => urn.refill(scores, &drawn),
                    }
                }
                drawn
            }
        }
    }
}

/// Ids of the `n` highest scores that are above minus infinity, the highest first; of equal ones
/// the lowest ids first.
pub(crate) fn highest(scores: &[f32], n: usize) -> Vec<u32> {
    let last = kth_largest(scores, n, &mut Vec::new());
    let mut tokens: Vec<(u32, f32)> =
        above(scores, EXCLUDED).filter(|token| token.1 >= last).collect();
    tokens.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    tokens.truncate(n);
    tokens.into_iter().map(|token| token.0).collect()
}

/// Tokens whose weights are added up together.
const BLOCK: usize = 256;

/// Tokens that can be drawn.
#[derive(Debug, Default)]
struct Urn {
    /// Ids and weights.
    tokens: Vec<(u32, f64)>,
    /// Sums of the weights of [`BLOCK`] tokens each.
    sums: Vec<f64>,
}

impl Clone for Urn {
    /// An empty one: what is in it belongs to a single draw.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Urn {
    /// Puts in every token that is not excluded.
    fn fill(&mut self, scores: &[f32], largest: f32) {
        self.tokens.clear();
        above(scores, EXCLUDED)
            .for_each(|(id, score)| self.tokens.push((id, weight(score, largest))));
        self.sums.clear();
        self.sums.extend(self.tokens.chunks(BLOCK).map(sum));
    }

    /// Puts in every token that is not excluded and was not taken.
    fn refill(&mut self, scores: &[f32], taken: &[u32]) {
        let mut scores = scores.to_vec();
        taken.iter().for_each(|&id| scores[id as usize] = EXCLUDED);
        self.fill(&scores, largest(&scores));
    }

    /// Draws a place in proportion to its weight; `None` where no weight is above 0.
    fn draw(&self, random: &mut ChaCha8Rng) -> Option<usize> {
        let total: f64 = self.sums.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let mut left = random.random::<f64>() * total;
        for (block, (tokens, sum)) in self.tokens.chunks(BLOCK).zip(&self.sums).enumerate() {
            if left >= *sum {
                left -= sum;
                continue;
            }
            for (at, (_, weight)) in tokens.iter().enumerate() {
                left -= weight;
                if left < 0.0 {
                    return Some(block * BLOCK + at);
                }
            }
        }
        // Rounding can leave a remainder as large as the last bit of the sum.
        self.tokens.iter().rposition(|(_, weight)| *weight > 0.0)
    }

    /// Takes the token at a place out and returns its id.
    fn take(&mut self, at: usize) -> u32 {
        self.tokens[at].1 = 0.0;
        let start = at - at % BLOCK;
        let end = self.tokens.len().min(start + BLOCK);
        self.sums[at / BLOCK] = sum(&self.tokens[start..end]);
        self.tokens[at].0
    }
}

fn sum(tokens: &[(u32, f64)]) -> f64 {
    tokens.iter().map(|(_, weight)| weight).sum()
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

    #[test]
    fn ids_drawn_together_are_different_and_follow_the_scores_that_are_left() {
        let scores: Vec<f32> = PROBABILITIES.iter().map(|p| p.ln() as f32).collect();
        let mut sampler = Sampler::multinomial(3, 1);
        let mut counts = [[0.0; 5]; 5];
        for _ in 0..DRAWS {
            let [first, second] = sampler.draw_without_replacement(&scores, 2)[..] else {
                panic!("not two ids")
            };
            counts[first as usize][second as usize] += 1.0;
        }
        let mut statistic = 0.0;
        for (first, p) in PROBABILITIES.iter().enumerate() {
            for (second, q) in PROBABILITIES.iter().enumerate() {
                let count = counts[first][second];
                if first == second {
                    assert_eq!(count, 0.0);
                    continue;
                }
                let mean = p * q / (1.0 - p) * DRAWS as f64;
                statistic += (count - mean) * (count - mean) / mean;
            }
        }
        // Exceeded with probability 0.001 by a chi-square of 19 degrees of freedom.
        assert!(statistic < 43.82, "{statistic}");
    }

    #[test]
    fn no_more_is_drawn_than_there_is() {
        let scores = [0.0, f32::NEG_INFINITY, -1e30, 2.0, -1e30];
        for mut sampler in [Sampler::multinomial(1, 1), Sampler::greedy()] {
            let mut drawn = sampler.draw_without_replacement(&scores, 9);
            // However unlikely, the last two are drawn before none is.
            assert_eq!(sampler.draw_without_replacement(&scores, 3).len(), 3);
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 2, 3, 4]);
            assert_eq!(sampler.draw_without_replacement(&scores, 0), [0; 0]);
            assert_eq!(sampler.draw_without_replacement(&[f32::NAN, 0.0], 1), [0; 0]);
            assert_eq!(sampler.draw_without_replacement(&[f32::NEG_INFINITY], 1), [0; 0]);
        }
    }

    #[test]
    fn without_a_draw_the_highest_scores_come_in_their_order() {
        let scores = [1.0, 3.0, 2.0, 3.0];
        assert_eq!(Sampler::greedy().draw_without_replacement(&scores, 3), [1, 3, 2]);
    }
}
