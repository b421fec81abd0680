//! What happens to a text before it is cut into pieces.
//!
//! Equals `Normalizer` of Google's library. The charsmap is walked by bytes of the text and the longest rule wins, while
//! the `Precompiled` normalizer of the `tokenizers` crate looks at grapheme clusters: they differ where a cluster has a
//! rule for a part of it only.

use super::charsmap::Charsmap;
use super::proto::NormalizerSpec;
use super::trie::Trie;

/// The mark of a space, U+2581.
pub(super) const SPACE: &str = "▁";
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();
/// Google's library looks at that many symbols with a common beginning.
const MOST_SYMBOLS: usize = 64;

/// Symbols of the user, which are taken out of a text whole and as they are.
#[derive(Debug, Clone, Default)]
pub(in crate::tokenizer) struct Symbols(Trie);

impl Symbols {
    pub(in crate::tokenizer) fn new(symbols: &[(&[u8], u32)]) -> Self {
        Self(Trie::new(symbols))
    }

    /// The length of the symbol that a text begins with.
    pub(super) fn prefix(&self, text: &[u8]) -> Option<usize> {
        self.0.prefixes(text).take(MOST_SYMBOLS).last().map(|(length, _)| length)
    }
}

/// A `NormalizerSpec` at work.
#[derive(Debug, Clone)]
pub(in crate::tokenizer) struct Normalizer {
    rules: Option<Charsmap>,
    symbols: Symbols,
    /// Bytes that a rule or symbol begins with.
    is_special: [bool; 256],
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    treat_whitespace_as_suffix: bool,
}

/// A text as the model sees it.
#[derive(Debug, Default)]
pub(in crate::tokenizer) struct Normalized {
    pub(in crate::tokenizer) text: Vec<u8>,
    /// For every byte, and for the end, the byte of the original text that it comes from. Kept if so asked.
    pub(super) origins: Option<Vec<usize>>,
}

impl Normalized {
    pub(in crate::tokenizer) fn new(with_origins: bool) -> Self {
        Self { text: Vec::new(), origins: with_origins.then(Vec::new) }
    }

    fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
        if let Some(origins) = &mut self.origins {
            origins.reserve(bytes + 1);
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8], origin: usize) {
        self.text.extend_from_slice(bytes);
        if let Some(origins) = &mut self.origins {
            origins.resize(origins.len() + bytes.len(), origin);
        }
    }
}

impl Normalizer {
    /// # Errors
    /// What is wrong with the charsmap.
    pub(in crate::tokenizer) fn new(
        spec: &NormalizerSpec,
        treat_whitespace_as_suffix: bool,
        symbols: Symbols,
    ) -> Result<Self, String> {
        let charsmap = spec.precompiled_charsmap();
        let rules = (!charsmap.is_empty()).then(|| Charsmap::read(charsmap)).transpose()?;
        let is_special = std::array::from_fn(|byte| {
            let byte = byte as u8;
            let begins_rule = rules.as_ref().is_some_and(|rules| rules.begins_with(byte));
            begins_rule || symbols.0.begins_with(byte)
        });
        Ok(Self {
            rules,
            symbols,
            is_special,
            add_dummy_prefix: spec.add_dummy_prefix(),
            remove_extra_whitespaces: spec.remove_extra_whitespaces(),
            escape_whitespaces: spec.escape_whitespaces(),
            treat_whitespace_as_suffix,
        })
    }

    pub(super) fn add_dummy_prefix(&self) -> bool {
        self.add_dummy_prefix
    }

    /// Whether the beginning of a decoded text loses its mark of a space, and whether it loses all of them.
    pub(super) fn strips_first_space(&self) -> (bool, bool) {
        (self.add_dummy_prefix || self.remove_extra_whitespaces, self.remove_extra_whitespaces)
    }

    /// Changes a text.
    pub(in crate::tokenizer) fn normalize(&self, text: &str, out: &mut Normalized) {
        let mut rest = text.as_bytes();
        let mut consumed = 0;
        if self.remove_extra_whitespaces {
            while let (b" ", length) = self.prefix(rest) {
                rest = &rest[length..];
                consumed += length;
            }
        }
        if rest.is_empty() {
            return;
        }
        let space = if self.escape_whitespaces { SPACE } else { " " }.as_bytes();
        out.reserve(rest.len() + rest.len() / 4 + space.len());
        if self.add_dummy_prefix && !self.treat_whitespace_as_suffix {
            out.push(space, consumed);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (mut piece, length) = self.prefix(rest);
            while after_space && let [b' ', others @ ..] = piece {
                piece = others;
            }
            if !piece.is_empty() {
                push_spaced(piece, space, consumed, out);
                after_space = self.remove_extra_whitespaces && piece.ends_with(b" ");
            }
            consumed += length;
            rest = &rest[length..];
        }
        if self.remove_extra_whitespaces {
            while out.text.ends_with(space) {
                let length = out.text.len() - space.len();
                out.text.truncate(length);
                if let Some(origins) = &mut out.origins {
                    consumed = origins.get(length).copied().unwrap_or(consumed);
                    origins.truncate(length);
                }
            }
        }
        if self.add_dummy_prefix && self.treat_whitespace_as_suffix {
            out.push(space, consumed);
        }
        if let Some(origins) = &mut out.origins {
            origins.push(consumed);
        }
    }

    /// What the beginning of a text becomes, and how long that beginning is: a symbol, a rule, or a character.
    #[inline]
    fn prefix<'t>(&'t self, text: &'t [u8]) -> (&'t [u8], usize) {
        let Some(&first) = text.first() else { return (&[], 0) };
        if self.is_special[usize::from(first)] {
            if let Some(length) = self.symbols.prefix(text) {
                return (&text[..length], length);
            }
            if let Some((length, replacement)) = self.rules.as_ref().and_then(|r| r.prefix(text)) {
                return (replacement, length);
            }
        }
        // A rule may end inside a character; what is left of that is no UTF-8.
        if first & 0xC0 == 0x80 {
            return (REPLACEMENT, 1);
        }
        let length = char_length(first).min(text.len());
        (&text[..length], length)
    }
}

/// Bytes of the character that begins with a byte.
#[inline]
pub(in crate::tokenizer) fn char_length(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

/// Appends what a prefix became, with the mark in the place of spaces.
#[inline]
fn push_spaced(piece: &[u8], space: &[u8], origin: usize, out: &mut Normalized) {
    if !piece.contains(&b' ') {
        return out.push(piece, origin);
    }
    for byte in piece {
        match byte {
            b' ' => out.push(space, origin),
            other => out.push(&[*other], origin),
        }
    }
}
