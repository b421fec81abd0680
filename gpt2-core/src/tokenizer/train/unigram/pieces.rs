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

/// The number of a piece that was dropped and is still in the trie.
const GONE: u32 = u32::MAX >> 1;

/// A vocabulary under way: pieces in the order of their texts.
pub(super) struct Pieces {
    list: Vec<Piece>,
    trie: DoubleArray,
    /// Keys of the trie, those of dropped pieces included.
    keys: usize,
}

impl Pieces {
    /// Takes pieces in the order of their texts, each once.
    pub fn new(list: Vec<Piece>) -> Result<Self> {
        let texts = list.iter().map(|piece| piece.text.as_bytes());
        let keys: Vec<(&[u8], u32)> = texts.zip(0..).collect();
        let trie =
            DoubleArray::build(&keys).map_err(|reason| Error::Tokenizer { path: None, reason })?;
        let keys = keys.len();
        Ok(Self { list, trie, keys })
    }

    /// The pieces with other scores, without those that are given none.
    pub fn rescored(self, scores: impl Iterator<Item = Option<f64>>) -> Result<Self> {
        let Self { list, mut trie, keys } = self;
        let mut numbers = vec![GONE; list.len()];
        let mut kept = Vec::with_capacity(list.len());
        for ((piece, score), number) in list.into_iter().zip(scores).zip(&mut numbers) {
            if let Some(score) = score {
                *number = kept.len() as u32;
                kept.push(Piece { score, ..piece });
            }
        }
        // Building takes longer than a pass over the corpus; walking past what is gone costs little.
        if kept.len() < keys / 2 {
            return Self::new(kept);
        }
        trie.renumber(|number| numbers.get(number as usize).copied().unwrap_or(GONE));
        Ok(Self { list: kept, trie, keys })
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
            if let Some(piece) = self.trie.value(place).filter(|&piece| piece != GONE) {
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
