//! A model at work: text to ids, as Google's library has it.

use std::collections::HashMap;

use super::Piece;
use super::bpe::Bpe;
use super::normalizer::{Normalized, Normalizer, SPACE, Symbols, char_length};
use super::proto::PieceType;
use super::trie::Trie;
use super::unigram::Unigram;

/// No id.
pub(super) const NO_ID: u32 = u32::MAX;

/// A `spiece.model`, checked; [`read`](super::read::read) makes it.
pub(super) struct Model {
    /// By id.
    pub(super) pieces: Vec<(String, PieceType)>,
    pub(super) ids: HashMap<String, u32>,
    pub(super) algorithm: Algorithm,
    pub(super) normalizer: Normalizer,
    pub(super) denormalizer: Option<Normalizer>,
    /// By byte, for models that have pieces of bytes.
    pub(super) byte_ids: Option<Box<[u32; 256]>>,
    /// What an unknown token is decoded to.
    pub(super) unk_surface: String,
    pub(super) roles: RolePieces,
    /// Of everything that decides on ids.
    pub(super) digest: u128,
}

/// The pieces with a role, where the model has them as control symbols.
#[derive(Debug, Clone, Default)]
pub(super) struct RolePieces {
    pub(super) bos: Option<String>,
    pub(super) eos: Option<String>,
    pub(super) unk: Option<String>,
    pub(super) pad: Option<String>,
}

/// How a text is cut.
pub(super) enum Algorithm {
    Unigram(Unigram),
    Bpe(Bpe),
    /// Every word is a piece or unknown.
    Word {
        pieces: Trie,
        unknown: u32,
    },
    /// Every character and every symbol of the user is a piece or unknown.
    Char {
        pieces: Trie,
        symbols: Symbols,
        unknown: u32,
    },
}

impl Algorithm {
    /// Pieces from first to last; without an id where the model has no unknown token.
    fn encode(&self, text: &[u8]) -> Vec<Piece> {
        match self {
            Self::Unigram(unigram) => unigram.encode(text),
            Self::Bpe(bpe) => bpe.encode(text),
            Self::Word { pieces, unknown } => {
                cut(text, pieces, *unknown, |rest| match find(&rest[1..], SPACE) {
                    Some(at) => at + 1,
                    None => rest.len(),
                })
            }
            Self::Char { pieces, symbols, unknown } => cut(text, pieces, *unknown, |rest| {
                let symbol = symbols.prefix(rest);
                symbol.unwrap_or_else(|| char_length(rest[0]).min(rest.len()))
            }),
        }
    }
}

/// Cuts a text into parts, each of which is a piece or unknown.
fn cut(text: &[u8], pieces: &Trie, unknown: u32, length: impl Fn(&[u8]) -> usize) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = start + length(&text[start..]);
        found.push(Piece { id: pieces.get(&text[start..end]).unwrap_or(unknown), end });
        start = end;
    }
    found
}

fn find(text: &[u8], mark: &str) -> Option<usize> {
    text.windows(mark.len()).position(|part| part == mark.as_bytes())
}

impl Model {
    /// Appends the ids of a text, and where offsets are wanted the bytes of the text that they stand for, which are
    /// counted from `start`.
    pub(super) fn encode(
        &self,
        text: &str,
        start: usize,
        ids: &mut Vec<u32>,
        offsets: Option<&mut Vec<(usize, usize)>>,
    ) {
        let mut normalized = Normalized::new(offsets.is_some());
        self.normalizer.normalize(text, &mut normalized);
        let mut out = Output { ids, offsets, start, after_unknown: false };
        let mut from = 0;
        for piece in self.algorithm.encode(&normalized.text) {
            let origin = |at: usize| {
                let origins = normalized.origins.as_deref();
                origins.and_then(|origins| origins.get(at)).copied().unwrap_or_default()
            };
            let place = (origin(from), origin(piece.end));
            let is_unknown = self.is_unknown(piece.id);
            match &self.byte_ids {
                Some(byte_ids) if is_unknown => {
                    let bytes = &normalized.text[from..piece.end];
                    out.bytes(bytes.iter().map(|byte| byte_ids[usize::from(*byte)]), place);
                }
                _ => out.piece(piece.id, is_unknown, place),
            }
            out.after_unknown = is_unknown;
            from = piece.end;
        }
    }

    pub(super) fn kind(&self, id: u32) -> Option<PieceType> {
        self.pieces.get(id as usize).map(|(_, kind)| *kind)
    }

    pub(super) fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|(piece, _)| piece.as_str())
    }

    fn is_unknown(&self, id: u32) -> bool {
        id == NO_ID || self.kind(id) == Some(PieceType::Unknown)
    }
}

/// Where ids go.
struct Output<'o> {
    ids: &'o mut Vec<u32>,
    offsets: Option<&'o mut Vec<(usize, usize)>>,
    start: usize,
    after_unknown: bool,
}

impl Output<'_> {
    fn push(&mut self, id: u32, (from, to): (usize, usize)) {
        self.ids.push(id);
        if let Some(offsets) = &mut self.offsets {
            offsets.push((self.start + from, self.start + to));
        }
    }

    /// Unknown pieces that follow each other are one token.
    #[inline]
    fn piece(&mut self, id: u32, is_unknown: bool, place: (usize, usize)) {
        if !(is_unknown && self.after_unknown) {
            return self.push(id, place);
        }
        if let Some(last) = self.offsets.as_mut().and_then(|offsets| offsets.last_mut()) {
            last.1 = self.start + place.1;
        }
    }

    /// The bytes of an unknown piece, the last of which stands for it.
    fn bytes(&mut self, ids: impl ExactSizeIterator<Item = u32>, (from, to): (usize, usize)) {
        let last = ids.len() - 1;
        for (at, id) in ids.enumerate() {
            self.push(id, (from, if at == last { to } else { from }));
        }
    }
}
