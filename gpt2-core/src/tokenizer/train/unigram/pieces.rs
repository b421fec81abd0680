//! Pieces with their scores, and the trie that finds them.

use crate::tokenizer::sentencepiece::double_array::DoubleArray;
use crate::{Error, Result};

/// What an unknown character costs beside the least probable piece, as a logarithm.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A piece and the logarithm of its probability.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub text: String,
    pub score: f64,
}

/// A vocabulary under way: pieces in the order of their texts.
pub(super) struct Pieces {
    list: Vec<Piece>,
    trie: DoubleArray,
}

impl Pieces {
    /// Takes pieces in the order of their texts, each once.
    pub fn new(list: Vec<Piece>) -> Result<Self> {
        let keys: Vec<(&[u8], u32)> =
            list.iter().map(|piece| piece.text.as_bytes()).zip(0..).collect();
        let trie =
            DoubleArray::build(&keys).map_err(|reason| Error::Tokenizer { path: None, reason })?;
        Ok(Self { list, trie })
    }

    /// Other scores for the same pieces.
    pub fn set_scores(&mut self, scores: impl Iterator<Item = f64>) {
        for (piece, score) in self.list.iter_mut().zip(scores) {
            piece.score = score;
        }
    }

    pub fn list(&self) -> &[Piece] {
        &self.list
    }

    pub fn into_list(self) -> Vec<Piece> {
        self.list
    }

    /// Calls `found` with each piece that a text begins with: its place in the list, and its bytes.
    #[inline]
    pub fn prefixes_of(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut place = self.trie.root();
        for (at, &byte) in text.iter().enumerate() {
            let Some(next) = self.trie.step(place, byte) else { break };
            place = next;
            if let Some(piece) = self.trie.value(place) {
                found(piece as usize, at + 1);
            }
        }
    }

    /// The score of a character that is no piece.
    pub fn unknown_score(&self) -> f64 {
        self.least_score() - UNKNOWN_PENALTY
    }

    pub fn least_score(&self) -> f64 {
        self.list.iter().map(|piece| piece.score).fold(0.0, f64::min)
    }
}
