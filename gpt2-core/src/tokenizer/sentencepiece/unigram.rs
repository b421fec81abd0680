//! The likeliest way to cut a text, under a model that gives every piece a probability.

use super::Piece;
use super::normalizer::char_length;
use super::trie::Trie;

/// What a character without a piece costs more than the least likely piece.
const UNKNOWN_PENALTY: f32 = 10.0;
/// Sums of scores that grow beyond this lose the digits that pieces differ in, and begin anew.
const RESET: f32 = 100_000.0;
/// No way leads here.
const NONE: u32 = u32::MAX;

/// Viterbi's algorithm, equal to `EncodeOptimized` of Google's library: sums are `f32` in the same order, and of two
/// ways with one score the longer last piece stays.
#[derive(Debug, Clone)]
pub(super) struct Unigram {
    pub(super) pieces: Trie,
    /// By id.
    pub(super) scores: Vec<f32>,
    /// The least score of a normal piece.
    pub(super) least: f32,
    pub(super) unknown: u32,
}

/// The best way to a place in the text.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    start: u32,
}

impl Unigram {
    /// The score of a symbol of the user, which is above that of every piece: one long symbol is better than several.
    pub(super) fn symbol_score(bytes: usize) -> f32 {
        (0.1 * (bytes as f64 - 1.0)) as f32
    }

    /// Pieces from first to last.
    pub(super) fn encode(&self, text: &[u8]) -> Vec<Piece> {
        let best = self.ways(text);
        let mut pieces = Vec::with_capacity(text.len() / 4 + 1);
        let mut end = text.len();
        while end > 0 {
            let Some(way) = best.get(end) else { break };
            pieces.push(Piece { id: way.id, end });
            end = way.start as usize;
        }
        pieces.reverse();
        pieces
    }

    fn ways(&self, text: &[u8]) -> Vec<Best> {
        let unknown_score = self.least - UNKNOWN_PENALTY;
        let mut best = vec![Best { id: self.unknown, score: 0.0, start: NONE }; text.len() + 1];
        let (mut start, mut frontier) = (0, 0);
        while start < text.len() {
            let length = char_length(text[start]).min(text.len() - start);
            let mut here = best[start].score;
            if here.abs() > RESET {
                for (at, way) in best.iter_mut().enumerate().take(frontier + 1).skip(start) {
                    if at == start || way.start != NONE {
                        way.score -= here;
                    }
                }
                here = 0.0;
            }
            let mut has_single = false;
            for (bytes, id) in self.pieces.prefixes(&text[start..]) {
                let Some(score) = self.scores.get(id as usize) else { continue };
                let end = start + bytes;
                frontier = frontier.max(end);
                best[end].offer(id, score + here, start);
                has_single |= bytes == length;
            }
            if !has_single {
                frontier = frontier.max(start + length);
                best[start + length].offer(self.unknown, unknown_score + here, start);
            }
            start += length;
        }
        best
    }
}

impl Best {
    #[inline]
    fn offer(&mut self, id: u32, score: f32, start: usize) {
        if self.start == NONE || score > self.score {
            *self = Self { id, score, start: start as u32 };
        }
    }
}
