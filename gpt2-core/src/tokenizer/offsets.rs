//! Which characters of a text its ids stand for.

use std::ops::Range;

use super::bytes::char_of;
use super::table::TokenTable;

/// Collects offsets while a text is encoded, part by part.
///
/// The bytes of the ids of a part are the part, so the place of an id follows from those before it; and the number of a
/// character from the bytes that begin one.
pub(super) struct Offsets<'t> {
    text: &'t str,
    is_ascii: bool,
    table: &'t TokenTable,
    /// White space is left out; the value is the post-processor's `add_prefix_space`.
    trim: Option<bool>,
    /// A place in the text and the number of characters before it.
    known: (usize, usize),
    /// First character of each id, and one past the last.
    pub(super) list: Vec<(usize, usize)>,
}

impl<'t> Offsets<'t> {
    pub(super) fn new(text: &'t str, table: &'t TokenTable, trim: Option<bool>) -> Self {
        let list = Vec::with_capacity(text.len() / 3);
        Self { text, is_ascii: text.is_ascii(), table, trim, known: (0, 0), list }
    }

    /// The offsets of one id that stands for a part of the text.
    pub(super) fn push_range(&mut self, range: Range<usize>) {
        let (start, end) = (self.chars_before(range.start), self.chars_before(range.end));
        let part = &self.text[range];
        let is_space = |c: &char| *c == char_of(b' ') || c.is_whitespace();
        let leading = part.chars().take_while(is_space).count();
        let trailing = part.chars().rev().take_while(is_space).count();
        self.push(start, end, || (leading, trailing));
    }

    /// The offsets of the ids of a part; of `has_prefix` ones that begin with a space that the text does not have.
    pub(super) fn push_ids(&mut self, range: Range<usize>, has_prefix: bool, ids: &[u32]) {
        let table = self.table;
        let mut chars = self.chars_before(range.start);
        let part = &self.text.as_bytes()[range.clone()];
        let mut at = 0;
        for (i, id) in ids.iter().enumerate() {
            let token = table.bytes(*id);
            let has_prefix = has_prefix && i == 0;
            let length = token.len() - usize::from(has_prefix);
            let bytes = &part[at..at + length];
            let start = chars - usize::from(bytes.first().is_some_and(continues_a_character));
            chars += match self.is_ascii {
                true => length,
                false => bytes.iter().filter(|byte| !continues_a_character(byte)).count(),
            };
            // A space of its own before the text counts as part of the first character.
            let end = if has_prefix { chars.max(start + 1) } else { chars };
            self.push(start, end, || spaces_around(token));
            at += length;
        }
        self.known = (range.end, chars);
    }

    /// As `ByteLevel` of the `tokenizers` library does after all else.
    fn push(&mut self, start: usize, end: usize, spaces: impl FnOnce() -> (usize, usize)) {
        let (mut start, mut end) = (start, end);
        if let Some(has_prefix) = self.trim {
            let (leading, trailing) = spaces();
            let is_first = self.list.is_empty() || start == 0;
            // One space before the first token is taken for the one that was added.
            if !(is_first && has_prefix && leading == 1) {
                start = end.min(start + leading);
            }
            if end >= trailing {
                end = start.max(end - trailing);
            }
        }
        self.list.push((start, end));
    }

    fn chars_before(&mut self, place: usize) -> usize {
        let (near, chars) = if place >= self.known.0 { self.known } else { (0, 0) };
        self.known = (place, chars + self.text[near..place].chars().count());
        self.known.1
    }
}

/// Whether a byte of UTF-8 is not the first of its character.
fn continues_a_character(byte: &u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Spaces at both ends of a token of the vocabulary.
fn spaces_around(token: &[u8]) -> (usize, usize) {
    let is_space = |byte: &&u8| **byte == b' ';
    (token.iter().take_while(is_space).count(), token.iter().rev().take_while(is_space).count())
}
