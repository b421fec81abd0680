//! Pieces with their scores, and the trie that finds them.

use crate::tokenizer::sentencepiece::trie::Trie;

/// What an unknown character costs beside the least probable piece, as a logarithm.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A piece and the logarithm of its probability.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub text: String,
    pub score: f64,
}

/// The number of a piece that was dropped and is still in the trie.
const GONE: u32 = u32::MAX;

/// A vocabulary under way: pieces in the order of their texts.
pub(super) struct Pieces {
    list: Vec<Piece>,
    trie: Trie,
    /// Keys of the trie, those of dropped pieces included.
    keys: usize,
}

impl Pieces {
    /// Takes pieces in the order of their texts, each once.
    pub fn new(list: Vec<Piece>) -> Self {
        let texts = list.iter().map(|piece| piece.text.as_bytes());
        let keys: Vec<(&[u8], u32)> = texts.zip(0..).collect();
        let (trie, keys) = (Trie::new(&keys), keys.len());
        Self { list, trie, keys }
    }

    /// The pieces with other scores, without those that are given none.
    pub fn rescored(self, scores: impl Iterator<Item = Option<f64>>) -> Self {
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
        Self { list: kept, trie, keys }
    }

    pub fn list(&self) -> &[Piece] {
        &self.list
    }

    pub fn into_list(self) -> Vec<Piece> {
        self.list
    }

    /// Pieces that a text begins with: their places in the list, and their bytes.
    #[inline]
    pub fn prefixes_of<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = (usize, usize)> + 't {
        let found = self.trie.prefixes(text).filter(|&(_, piece)| piece != GONE);
        found.map(|(length, piece)| (piece as usize, length))
    }

    /// The score of a character that is no piece.
    pub fn unknown_score(&self) -> f64 {
        self.least_score() - UNKNOWN_PENALTY
    }

    pub fn least_score(&self) -> f64 {
        self.list.iter().map(|piece| piece.score).fold(0.0, f64::min)
    }
}
