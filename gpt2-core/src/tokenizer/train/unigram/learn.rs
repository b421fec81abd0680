//! Learning the probabilities of pieces, and which of them to keep.
//!
//! Expectation maximization with pruning, after Kudo, "Subword Regularization" (2018), in the form of Google's
//! `unigram_model_trainer`: the same thresholds, the same estimate of a piece's worth. Sums are over a fixed number of
//! tasks and added in their order, so nothing depends on the number of threads.

use rayon::prelude::*;

use super::lattice::{Lattice, Weights};
use super::pieces::{Piece, Pieces};
use super::segments::Segments;
use crate::tokenizer::train::TrainProgress;

/// Tasks that a pass over the corpus is divided into.
const TASKS: usize = 16;

/// Pieces that are to be expected less often are dropped.
const LEAST_EXPECTED: f64 = 0.5;

/// Pruning stops when there are so many pieces for one of the vocabulary: the last choice is made by probability.
const SPARE: f64 = 1.1;

/// What learning is told.
pub(super) struct Plan {
    pub vocab_size: usize,
    pub shrinking_factor: f64,
    pub num_sub_iterations: usize,
}

/// Learns from the pieces that it is given which to keep.
pub(super) fn learn(
    segments: &Segments,
    seeds: Vec<Piece>,
    plan: &Plan,
    progress: &mut dyn FnMut(TrainProgress),
) -> Vec<Piece> {
    let wanted = (plan.vocab_size as f64 * SPARE) as usize;
    let rounds = (wanted as f64 / seeds.len() as f64).ln() / plan.shrinking_factor.ln();
    let total = (rounds.max(0.0).ceil() as usize + 1) * plan.num_sub_iterations;
    let mut pieces = Pieces::new(seeds);
    let mut done = 0;
    loop {
        for _ in 0..plan.num_sub_iterations {
            let expected = expectations(segments, &pieces);
            pieces = maximized(pieces, &expected);
            done += 1;
            progress(TrainProgress { stage: "learning pieces", done, total: total.max(done) });
        }
        if pieces.list().len() <= wanted {
            return pieces.into_list();
        }
        let most = wanted.max((pieces.list().len() as f64 * plan.shrinking_factor) as usize);
        pieces = pruned(segments, pieces, most);
    }
}

/// What a task gives for each part of the corpus, added up in the order of the tasks.
fn sum_over(
    segments: &Segments,
    length: usize,
    task: impl Fn(&mut Lattice, &str, u64, &mut [f64]) + Sync,
) -> Vec<f64> {
    let bytes = segments.text().len();
    // Ranges of about as many bytes each.
    let border = |task: usize| segments.index_at(bytes / TASKS * task);
    let mut borders: Vec<usize> = (0..TASKS).map(border).collect();
    borders.push(segments.len());
    let sums: Vec<Vec<f64>> = borders
        .par_windows(2)
        .map(|range| {
            let (mut lattice, mut sums) = (Lattice::default(), vec![0.0; length]);
            for index in range[0]..range[1] {
                let (part, count) = segments.get(index);
                task(&mut lattice, part, count, &mut sums);
            }
            sums
        })
        .collect();
    let mut whole = vec![0.0; length];
    for sums in sums {
        whole.iter_mut().zip(sums).for_each(|(whole, sum)| *whole += sum);
    }
    whole
}

/// How often each piece is to be expected in the corpus.
fn expectations(segments: &Segments, pieces: &Pieces) -> Vec<f64> {
    let probabilities = Weights::probabilities(pieces);
    sum_over(segments, pieces.list().len(), |lattice, part, count, expected| {
        lattice.expect(part, count as f64, pieces, &probabilities, expected);
    })
}

/// The pieces with new probabilities, without those that are hardly ever expected.
///
/// The digamma function in the place of the logarithm is a prior that prefers few pieces (Liang and Klein, "Structured
/// Bayesian Nonparametric Models with Variational Inference", 2007).
fn maximized(pieces: Pieces, expected: &[f64]) -> Pieces {
    let is_kept = |count: f64| count >= LEAST_EXPECTED;
    let whole = digamma(expected.iter().filter(|&&count| is_kept(count)).sum());
    let score = |&count: &f64| is_kept(count).then(|| digamma(count) - whole);
    pieces.rescored(expected.iter().map(score))
}

/// What a piece would be cut into if it were none.
enum Instead {
    /// It is a single character, and stays.
    Nothing,
    /// It is never the best way to write its own text.
    Better,
    /// Other pieces.
    Pieces(Vec<Option<usize>>),
}

/// Keeps the pieces whose loss would cost most of the likelihood, `most` of them.
fn pruned(segments: &Segments, pieces: Pieces, most: usize) -> Pieces {
    let scores = Weights::scores(&pieces);
    let instead: Vec<Instead> = (0..pieces.list().len())
        .into_par_iter()
        .map_init(Lattice::default, |lattice, place| alternative(lattice, &pieces, place, &scores))
        .collect();
    let counts = sum_over(segments, pieces.list().len(), |lattice, part, count, counts| {
        for piece in lattice.best(part, &pieces, &scores, None).1.flatten() {
            counts[piece] += count as f64;
        }
    });
    let whole: f64 = counts.iter().sum();
    let (mut kept, mut candidates) = (Vec::new(), Vec::new());
    for (place, instead) in instead.iter().enumerate() {
        match instead {
            Instead::Nothing => kept.push(place),
            Instead::Better if counts[place] > 0.0 => kept.push(place),
            Instead::Better => {}
            Instead::Pieces(others) => {
                candidates.push((loss(place, others, &counts, whole), place))
            }
        }
    }
    candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let room = most.saturating_sub(kept.len());
    kept.extend(candidates.into_iter().take(room).map(|(_, place)| place));
    let mut kept_scores = vec![None; pieces.list().len()];
    for place in kept {
        kept_scores[place] = pieces.list().get(place).map(|piece| piece.score);
    }
    pieces.rescored(kept_scores.into_iter())
}

fn alternative(lattice: &mut Lattice, pieces: &Pieces, place: usize, scores: &Weights) -> Instead {
    let Some(piece) = pieces.list().get(place) else { return Instead::Nothing };
    if piece.text.chars().nth(1).is_none() {
        return Instead::Nothing;
    }
    let (score, others) = lattice.best(&piece.text, pieces, scores, Some(place));
    match score > piece.score {
        true => Instead::Better,
        false => Instead::Pieces(others.collect()),
    }
}

/// What the corpus loses of its likelihood, about, when one piece is replaced by others.
fn loss(place: usize, others: &[Option<usize>], counts: &[f64], whole: f64) -> f64 {
    let count = counts[place];
    if count == 0.0 {
        return 0.0;
    }
    let now = count.ln() - whole.ln();
    let whole_then = (whole + count * (others.len() as f64 - 1.0)).ln();
    let count_of = |other: &Option<usize>| other.map_or(0.0, |other| counts[other]);
    let then: f64 = others.iter().map(|other| (count_of(other) + count).ln() - whole_then).sum();
    count * (now - then)
}

/// The derivative of the logarithm of the gamma function, for positive numbers: its asymptotic series from 7 on.
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= x.recip();
        x += 1.0;
    }
    x -= 0.5;
    let (square, fourth) = (x.powi(-2), x.powi(-4));
    result + x.ln() + square / 24.0 - fourth * 7.0 / 960.0 + fourth * square * 31.0 / 8064.0
        - fourth * fourth * 127.0 / 30720.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_is_known_at_some_places() {
        const GAMMA: f64 = 0.577_215_664_901_532_9;
        for (x, right) in [(1.0, -GAMMA), (2.0, 1.0 - GAMMA), (0.5, -GAMMA - 2.0 * 2_f64.ln())] {
            assert!((digamma(x) - right).abs() < 1e-8, "{x}: {} {right}", digamma(x));
        }
        assert!((digamma(1e6) - (1e6_f64.ln() - 0.5e-6)).abs() < 1e-12);
    }

    #[test]
    fn pruning_keeps_what_is_worth_most() {
        let segments = Segments::new([("abab", 100), ("cd", 3), ("c", 50), ("d", 50)].into_iter());
        let list = ["a", "ab", "abab", "b", "c", "cd", "d"];
        let score = (1.0_f64 / 7.0).ln();
        let pieces =
            Pieces::new(list.iter().map(|text| Piece { text: text.to_string(), score }).collect());
        let texts = |most| -> Vec<String> {
            let plan = Plan { vocab_size: most, shrinking_factor: 0.5, num_sub_iterations: 2 };
            let seeds = pieces.list().to_vec();
            let learned = learn(&segments, seeds, &plan, &mut |_| {});
            learned.into_iter().map(|piece| piece.text).collect()
        };
        assert_eq!(texts(3), ["abab", "c", "d"]);
    }
}
