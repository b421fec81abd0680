//! All ways to cut a text into pieces, weighed by their probabilities.
//!
//! Numbers are probabilities and not logarithms, which saves a logarithm and an exponential for every piece that could
//! be there. They are scaled up, and how often is noted, before they become too small for a float.

use super::pieces::Pieces;
use crate::tokenizer::sentencepiece::normalizer::char_length;

/// What numbers are multiplied with when they become smaller than its inverse.
const SCALE: f64 = 1.157_920_892_373_162e77; // 2^256
const SMALL: f64 = 1.0 / SCALE;

/// Places that an edge can reach over, its own end included: the longest piece has 512 characters of four bytes.
const REACH: usize = 2049;

/// The piece that stands for a character without one.
const UNKNOWN: usize = usize::MAX;

/// A piece that could stand somewhere.
#[derive(Debug, Clone, Copy)]
struct Edge {
    start: usize,
    end: usize,
    piece: usize,
    /// Of the piece.
    probability: f64,
}

/// What pieces weigh, by their places in the list, and what a character weighs that is none.
pub(super) struct Weights {
    of: Vec<f64>,
    unknown: f64,
}

impl Weights {
    /// Probabilities.
    pub fn probabilities(pieces: &Pieces) -> Self {
        let Self { of, unknown } = Self::scores(pieces);
        Self { of: of.into_iter().map(f64::exp).collect(), unknown: unknown.exp() }
    }

    /// Their logarithms.
    pub fn scores(pieces: &Pieces) -> Self {
        let of = pieces.list().iter().map(|piece| piece.score).collect();
        Self { of, unknown: pieces.unknown_score() }
    }

    fn get(&self, piece: usize) -> f64 {
        self.of.get(piece).copied().unwrap_or(self.unknown)
    }
}

/// Work space for one text after the other.
#[derive(Default)]
pub(super) struct Lattice {
    edges: Vec<Edge>,
    /// For each byte of the text: the probability of all that comes before it, scaled so many times.
    before: Vec<(f64, i32)>,
    /// The same of all that comes behind it.
    behind: Vec<f64>,
    /// For each byte of the text: the best score of what comes before, and where the last piece of that begins and which
    /// it is.
    best: Vec<(f64, usize, usize)>,
}

/// Calls `edge` with start, end and piece of everything that could begin at `start`.
fn edges_at(pieces: &Pieces, text: &[u8], start: usize, mut edge: impl FnMut(usize, usize)) {
    let character = char_length(text[start]);
    let mut has_character = false;
    for (piece, length) in pieces.prefixes_of(&text[start..]) {
        has_character |= length == character;
        edge(start + length, piece);
    }
    if !has_character {
        edge(start + character, UNKNOWN);
    }
}

impl Lattice {
    /// Adds to `expected` how often each piece is to be expected in a text that occurs `count` times. Returns the
    /// logarithm of the probability of the text.
    pub fn expect(
        &mut self,
        text: &str,
        count: f64,
        pieces: &Pieces,
        probabilities: &Weights,
        expected: &mut [f64],
    ) -> f64 {
        let (whole, scaled) = self.forward(text.as_bytes(), pieces, probabilities);
        let behind = &mut self.behind;
        behind.clear();
        behind.resize(text.len() + 1, 0.0);
        behind[text.len()] = 1.0;
        let mut scaled_behind = 0;
        let mut current = text.len();
        for edge in self.edges.iter().rev() {
            if edge.start != current {
                // All that begins behind `edge.start` is done.
                if current < text.len() && behind[current] < SMALL && behind[current] > 0.0 {
                    behind[current..].iter_mut().take(REACH).for_each(|behind| *behind *= SCALE);
                    scaled_behind += 1;
                }
                current = edge.start;
            }
            let through = edge.probability * behind[edge.end];
            behind[edge.start] += through;
            if let Some(expected) = expected.get_mut(edge.piece) {
                let (before, scaled_before) = self.before[edge.start];
                let share = before * through / whole;
                let scales = scaled - scaled_before - scaled_behind;
                *expected += count * if scales == 0 { share } else { share * SCALE.powi(scales) };
            }
        }
        whole.ln() - f64::from(scaled) * SCALE.ln()
    }

    /// Finds all edges, and the probability of the whole with how often it was scaled.
    fn forward(&mut self, text: &[u8], pieces: &Pieces, probabilities: &Weights) -> (f64, i32) {
        let Self { edges, before, .. } = self;
        edges.clear();
        before.clear();
        before.resize(text.len() + 1, (0.0, 0));
        before[0].0 = 1.0;
        let mut scaled = 0;
        for start in 0..text.len() {
            let (mut so_far, _) = before[start];
            if so_far == 0.0 {
                continue; // The middle of a character.
            }
            if so_far < SMALL {
                before[start..].iter_mut().take(REACH).for_each(|(before, _)| *before *= SCALE);
                so_far *= SCALE;
                scaled += 1;
            }
            before[start].1 = scaled;
            edges_at(pieces, text, start, |end, piece| {
                let probability = probabilities.get(piece);
                before[end].0 += so_far * probability;
                edges.push(Edge { start, end, piece, probability });
            });
        }
        (before[text.len()].0, scaled)
    }

    /// The best way to cut a text, last piece first, as places in the list of pieces; `None` for a character that is
    /// none. With `without` the piece at that place is not used.
    pub fn best(
        &mut self,
        text: &str,
        pieces: &Pieces,
        scores: &Weights,
        without: Option<usize>,
    ) -> (f64, impl Iterator<Item = Option<usize>> + '_) {
        let Self { best, .. } = self;
        best.clear();
        best.resize(text.len() + 1, (f64::NEG_INFINITY, 0, UNKNOWN));
        best[0].0 = 0.0;
        for start in 0..text.len() {
            let (so_far, ..) = best[start];
            if so_far == f64::NEG_INFINITY {
                continue;
            }
            edges_at(pieces, text.as_bytes(), start, |end, piece| {
                let total = so_far + scores.get(piece);
                if total > best[end].0 && without != Some(piece) {
                    best[end] = (total, start, piece);
                }
            });
        }
        let total = best[text.len()].0;
        let mut end = text.len();
        let path = std::iter::from_fn(move || {
            let (_, start, piece) = best.get(end).copied().filter(|_| end > 0)?;
            end = start;
            Some((piece != UNKNOWN).then_some(piece))
        });
        (total, path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pieces::Piece;
    use super::*;

    fn pieces(list: &[(&str, f64)]) -> Pieces {
        let piece = |&(text, probability): &(&str, f64)| Piece {
            text: text.to_string(),
            score: probability.ln(),
        };
        Pieces::new(list.iter().map(piece).collect())
    }

    fn expect(text: &str, pieces: &Pieces) -> (f64, Vec<f64>) {
        let mut expected = vec![0.0; pieces.list().len()];
        let probabilities = Weights::probabilities(pieces);
        let log = Lattice::default().expect(text, 1.0, pieces, &probabilities, &mut expected);
        (log, expected)
    }

    #[test]
    fn expectations_are_those_of_all_ways_to_cut() {
        // a|b|c: 0.3 * 0.2 * 0.1; ab|c: 0.25 * 0.1; a|bc: 0.3 * 0.15.
        let pieces = pieces(&[("a", 0.3), ("ab", 0.25), ("b", 0.2), ("bc", 0.15), ("c", 0.1)]);
        let ways = [0.006, 0.025, 0.045];
        let whole: f64 = ways.iter().sum();
        let (log, expected) = expect("abc", &pieces);
        assert!((log - whole.ln()).abs() < 1e-12);
        let right = [ways[0] + ways[2], ways[1], ways[0], ways[2], ways[0] + ways[1]];
        for (found, right) in expected.iter().zip(right) {
            assert!((found - right / whole).abs() < 1e-12, "{expected:?}");
        }
    }

    #[test]
    fn long_texts_of_rare_pieces_do_not_vanish() {
        let pieces = pieces(&[("a", 1e-9), ("aa", 1e-12), ("é", 1e-7)]);
        let text = "aé".repeat(3000);
        let (log, expected) = expect(&text, &pieces);
        assert!((log - 3000.0 * (1e-16_f64).ln()).abs() < 1e-6, "{log}");
        assert!((expected[0] - 3000.0).abs() < 1e-6 && (expected[2] - 3000.0).abs() < 1e-6);
        // Every place of a run lies between two pieces or in one: the numbers add up to its length.
        let (_, expected) = expect(&"a".repeat(5000), &pieces);
        assert!((expected[0] + 2.0 * expected[1] - 5000.0).abs() < 1e-6, "{expected:?}");
    }

    #[test]
    fn the_best_way_may_be_asked_for_without_a_piece() {
        let pieces = pieces(&[("a", 0.3), ("ab", 0.25), ("b", 0.2)]);
        let mut lattice = Lattice::default();
        let scores = Weights::scores(&pieces);
        let (score, path) = lattice.best("abé", &pieces, &scores, None);
        assert_eq!(path.collect::<Vec<_>>(), [None, Some(1)]);
        // Unknown is ten less than the least probable piece.
        assert!((score - (0.25_f64.ln() + 0.2_f64.ln() - 10.0)).abs() < 1e-12);
        let (_, path) = lattice.best("ab", &pieces, &scores, Some(1));
        assert_eq!(path.collect::<Vec<_>>(), [Some(2), Some(0)]);
    }
}
