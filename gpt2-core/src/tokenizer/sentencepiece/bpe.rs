//! Byte-pair encoding as SentencePiece has it: of all neighbours that make a piece, the pair with the best score is
//! joined first.

use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::Piece;
use super::normalizer::{SPACE, Symbols, char_length};
use super::trie::Trie;

/// Pieces that nothing may become are taken apart again, to this depth.
const MOST_SPLITS: usize = 100;
const NONE: u32 = u32::MAX;

/// Equal to `bpe::Model` of Google's library, in `n log n` for a text of any length.
#[derive(Debug, Clone)]
pub(super) struct Bpe {
    /// Normal pieces, symbols of the user, and unused pieces.
    pub(super) pieces: Trie,
    /// By id.
    pub(super) scores: Vec<f32>,
    /// In ascending order.
    pub(super) unused: Vec<u32>,
    pub(super) symbols: Symbols,
    pub(super) unknown: u32,
    pub(super) words: Words,
}

/// Whether no piece reaches over the mark of a space, so that a word is encoded the same wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Pieces have the mark at their beginning only.
    Before,
    /// At their end only.
    After,
    /// Some have it elsewhere, or unused pieces make words depend on each other.
    No,
}

impl Words {
    /// Of a vocabulary.
    pub(super) fn of<'p>(pieces: impl Iterator<Item = &'p str> + Clone) -> Self {
        let before = |piece: &str| !piece.strip_prefix(SPACE).unwrap_or(piece).contains(SPACE);
        let after = |piece: &str| !piece.strip_suffix(SPACE).unwrap_or(piece).contains(SPACE);
        match (pieces.clone().all(before), pieces.clone().all(after)) {
            (true, _) => Self::Before,
            (false, true) => Self::After,
            (false, false) => Self::No,
        }
    }

    /// The length of the first word of a text that is not empty.
    fn first(self, text: &[u8]) -> usize {
        let mark = SPACE.as_bytes();
        let find = |from: usize| {
            let rest = text.get(from..).unwrap_or_default();
            rest.windows(mark.len()).position(|part| part == mark).map(|at| from + at)
        };
        let end = match self {
            Self::Before => find(1),
            Self::After => find(0).map(|at| at + mark.len()),
            Self::No => None,
        };
        end.unwrap_or(text.len())
    }
}

/// A part of the text that may be joined with its neighbours.
struct Part {
    start: usize,
    /// Zero once it is joined to the part before it.
    length: usize,
    before: u32,
    after: u32,
    /// A symbol of the user.
    is_symbol: bool,
}

/// Two neighbours that make a piece.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    /// Score, then place from the back: of pairs with one score the first is best.
    rank: u64,
    right: u32,
    /// Of both, to notice that one has changed.
    length: usize,
}

impl Pair {
    fn left(&self) -> u32 {
        !(self.rank as u32)
    }
}

/// How the unused pieces of a text came about: the length of the left part.
type Splits<'t> = HashMap<&'t [u8], usize>;

impl Bpe {
    /// Pieces from first to last.
    pub(super) fn encode(&self, text: &[u8]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(text.len() / 4 + 1);
        if self.words == Words::No {
            self.encode_word(text, 0, &mut pieces);
            return pieces;
        }
        let mut seen: HashMap<&[u8], (Range<usize>, usize)> = HashMap::new();
        let mut start = 0;
        while start < text.len() {
            let end = start + self.words.first(&text[start..]);
            let word = &text[start..end];
            if let Some((places, first)) = seen.get(word) {
                for place in places.clone() {
                    let Piece { id, end } = pieces[place];
                    pieces.push(Piece { id, end: end - first + start });
                }
            } else {
                let first = pieces.len();
                self.encode_word(word, start, &mut pieces);
                seen.insert(word, (first..pieces.len(), start));
            }
            start = end;
        }
        pieces
    }

    /// Appends the pieces of `text`, which stands at `start`.
    fn encode_word(&self, text: &[u8], start: usize, pieces: &mut Vec<Piece>) {
        let mut parts = self.parts(text);
        let mut splits = Splits::new();
        let mut agenda = BinaryHeap::new();
        for left in 1..parts.len() as u32 {
            agenda.extend(self.pair(text, &parts, left - 1, left, &mut splits));
        }
        while let Some(pair) = agenda.pop() {
            let (left, right) = (pair.left() as usize, pair.right as usize);
            let (length, after) = (parts[right].length, parts[right].after);
            if parts[left].length == 0 || length == 0 || parts[left].length + length != pair.length
            {
                continue;
            }
            parts[left].length = pair.length;
            parts[left].after = after;
            parts[right].length = 0;
            if after != NONE {
                parts[after as usize].before = left as u32;
            }
            let before = parts[left].before;
            agenda.extend(self.pair(text, &parts, before, left as u32, &mut splits));
            agenda.extend(self.pair(text, &parts, left as u32, after, &mut splits));
        }
        for part in parts.iter().filter(|part| part.length > 0) {
            let place = part.start..part.start + part.length;
            self.take_apart(text, place, start, &splits, 0, pieces);
        }
    }

    /// Symbols of the user and characters.
    fn parts(&self, text: &[u8]) -> Vec<Part> {
        let mut parts = Vec::with_capacity(text.len());
        let mut start = 0;
        while start < text.len() {
            let rest = &text[start..];
            let symbol = self.symbols.prefix(rest);
            let length = symbol.unwrap_or_else(|| char_length(rest[0]).min(rest.len()));
            let at = parts.len() as u32;
            let before = at.checked_sub(1).unwrap_or(NONE);
            let is_symbol = symbol.is_some();
            parts.push(Part { start, length, before, after: at + 1, is_symbol });
            start += length;
        }
        if let Some(last) = parts.last_mut() {
            last.after = NONE;
        }
        parts
    }

    /// Two neighbours as a pair, if they make a piece.
    fn pair<'t>(
        &self,
        text: &'t [u8],
        parts: &[Part],
        left: u32,
        right: u32,
        splits: &mut Splits<'t>,
    ) -> Option<Pair> {
        let (first, second) = (parts.get(left as usize)?, parts.get(right as usize)?);
        if first.is_symbol || second.is_symbol {
            return None;
        }
        let length = first.length + second.length;
        let joined = &text[first.start..first.start + length];
        let id = self.pieces.get(joined)?;
        let score = *self.scores.get(id as usize)?;
        if self.unused.binary_search(&id).is_ok() {
            splits.insert(joined, first.length);
        }
        Some(Pair { rank: u64::from(order(score)) << 32 | u64::from(!left), right, length })
    }

    /// Appends a part as a piece, or, where that is unused, what it was joined from.
    fn take_apart(
        &self,
        text: &[u8],
        place: Range<usize>,
        start: usize,
        splits: &Splits<'_>,
        depth: usize,
        pieces: &mut Vec<Piece>,
    ) {
        let part = &text[place.clone()];
        let id = self.pieces.get(part);
        let is_unused = id.is_some_and(|id| self.unused.binary_search(&id).is_ok());
        if is_unused && depth <= MOST_SPLITS {
            if let Some(length) = splits.get(part) {
                let middle = place.start + length;
                self.take_apart(text, place.start..middle, start, splits, depth + 1, pieces);
                self.take_apart(text, middle..place.end, start, splits, depth + 1, pieces);
                return;
            }
            pieces.push(Piece { id: self.unknown, end: start + place.end });
            return;
        }
        pieces.push(Piece { id: id.unwrap_or(self.unknown), end: start + place.end });
    }
}

/// A number that is ordered as the score is, of finite scores.
fn order(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}
