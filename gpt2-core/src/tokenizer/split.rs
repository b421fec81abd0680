//! GPT-2's division of text into words, before any merge.
//!
//! The published pattern is
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. Its lookahead needs a backtracking
//! engine, which keeps a stack entry per character of a run and gives up on runs of a million. This scanner makes the
//! same divisions in one pass, whatever the text.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// What the pattern distinguishes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

/// The endings that are words of their own after an apostrophe, longest match not needed: none begins another.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// The first code point behind the basic plane.
const BASIC: usize = 1 << 16;

/// What every character is.
struct Kinds {
    /// Of each character of the basic plane.
    basic: Vec<Kind>,
    /// Sorted, disjoint ranges of the letters and the numbers.
    ranges: Vec<(char, char, Kind)>,
}

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::new);

impl Kinds {
    fn new() -> Self {
        let mut ranges = ranges_of(r"\p{L}", Kind::Letter);
        ranges.extend(ranges_of(r"\p{N}", Kind::Number));
        ranges.sort_unstable_by_key(|range| range.0);
        let mut basic = vec![Kind::Other; BASIC];
        for &(first, last, kind) in &ranges {
            for slot in basic.iter_mut().take(last as usize + 1).skip(first as usize) {
                *slot = kind;
            }
        }
        for c in ('\0'..='\u{FFFF}').filter(|c| c.is_whitespace()) {
            basic[c as usize] = Kind::Space;
        }
        Self { basic, ranges }
    }

    fn of(&self, c: char) -> Kind {
        if let Some(kind) = self.basic.get(c as usize) {
            return *kind;
        }
        let after = self.ranges.partition_point(|range| range.0 <= c);
        match after.checked_sub(1).and_then(|i| self.ranges.get(i)) {
            Some(&(_, last, kind)) if c <= last => kind,
            _ => Kind::Other,
        }
    }

    /// Length in bytes of the characters of one kind at the start.
    fn run(&self, text: &str, kind: Kind) -> usize {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            // ASCII needs no decoding.
            while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii()) {
                if self.basic[usize::from(*byte)] != kind {
                    return at;
                }
                at += 1;
            }
            let mut rest = text[at..].chars();
            loop {
                match rest.clone().next() {
                    None => return text.len(),
                    Some(c) if c.is_ascii() => break,
                    Some(c) if self.of(c) != kind => return text.len() - rest.as_str().len(),
                    Some(_) => rest.next(),
                };
            }
            at = text.len() - rest.as_str().len();
        }
    }

    /// Length in bytes of the first word; `None` at the end.
    fn first_word(&self, text: &str) -> Option<usize> {
        let mut chars = text.chars();
        let first = chars.next()?;
        if first == '\''
            && let Some(found) = CONTRACTIONS.iter().find(|c| text.starts_with(**c))
        {
            return Some(found.len());
        }
        let kind = self.of(first);
        if kind != Kind::Space {
            return Some(self.run(text, kind));
        }
        match chars.next().map(|c| self.of(c)) {
            // One space belongs to the word behind it.
            Some(kind) if kind != Kind::Space && first == ' ' => {
                Some(1 + self.run(&text[1..], kind))
            }
            _ => Some(self.spaces(text)),
        }
    }

    /// Length in bytes of the white space at the start, less its last character where more text and more white space
    /// than that one character leave it to the next word.
    fn spaces(&self, text: &str) -> usize {
        let length = self.run(text, Kind::Space);
        if length == text.len() {
            return length;
        }
        let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
        if last == length { length } else { length - last }
    }
}

fn ranges_of(class: &str, kind: Kind) -> Vec<(char, char, Kind)> {
    let hir = regex_syntax::parse(class);
    match hir.map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(set))) => {
            set.ranges().iter().map(|range| (range.start(), range.end(), kind)).collect()
        }
        // The tables are compiled in; the test of the classes below fails if they ever are not.
        _ => Vec::new(),
    }
}

/// The words of a text, in order and without gaps.
pub(super) struct Words<'t> {
    rest: &'t str,
    kinds: &'static Kinds,
}

/// Divides a text into words.
pub(super) fn words(text: &str) -> Words<'_> {
    Words { rest: text, kinds: &KINDS }
}

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let length = self.kinds.first_word(self.rest)?;
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn one_space_belongs_to_the_word_behind_it() {
        assert_eq!(split("Hello  world 12!?"), ["Hello", " ", " world", " 12", "!?"]);
        assert_eq!(split("a\n\nb\n c"), ["a", "\n", "\n", "b", "\n", " c"]);
        assert_eq!(split("a   "), ["a", "   "]);
    }

    #[test]
    fn contractions_are_words_of_their_own() {
        assert_eq!(
            split("we'll don't I'M '90s !'s"),
            ["we", "'ll", " don", "'t", " I", "'", "M", " '", "90", "s", " !'", "s"]
        );
    }

    #[test]
    fn classes_are_unicode_general_categories() {
        // A vowel sign is alphabetic but no letter; a Roman numeral is a number; a no-break space is white space.
        assert_eq!(split("कि"), ["क", "ि"]);
        assert_eq!(split("aⅣ½b"), ["a", "Ⅳ½", "b"]);
        assert_eq!(split("a\u{a0}b日本"), ["a", "\u{a0}", "b日本"]);
    }

    #[test]
    fn words_cover_the_text_without_gaps() {
        let text = "  'tis \u{3000}\u{3000}x — 1.5e３ 🙂🙂\u{200d} \t\r\n";
        assert_eq!(split(text).concat(), text);
    }

    #[test]
    fn a_run_of_millions_is_one_word() {
        let spaces = " ".repeat(3_000_000);
        assert_eq!(split(&spaces), [spaces.as_str()]);
        let text = format!("{spaces}a");
        assert_eq!(split(&text), [&spaces[1..], " a"]);
    }
}
