//! Dividing sentences where no piece can ever reach over.
//!
//! The ways to cut a sentence into pieces are those of its parts, put together, wherever the border between two parts is
//! one that no piece crosses: a space, a change of script, a symbol, a character that is unknown. So learning from the
//! distinct parts gives the same probabilities as learning from the sentences, and there are far fewer of them.

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_script::{Script, UnicodeScript};

use super::options::{MetaPieces, RESERVED, SPACE, TrainUnigramOptions};
use crate::tokenizer::train::words::WordTable;

/// What kinds of characters a piece may hold beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The mark of a space.
    Space,
    /// Goes with anything.
    Any,
    /// Goes with nothing.
    Alone,
    /// A mark that belongs to the character before it.
    Inherited,
    Script(Script),
}

/// Divides normalized sentences, and says what may be a piece.
pub(super) struct Divider {
    split_by_unicode_script: bool,
    split_by_whitespace: bool,
    split_by_number: bool,
    split_digits: bool,
    max_length: usize,
    /// Finds symbols, the longest of those that begin in one place.
    symbols: Option<AhoCorasick>,
}

impl Divider {
    pub fn new(options: &TrainUnigramOptions, meta_pieces: &MetaPieces) -> Self {
        Self {
            split_by_unicode_script: options.split_by_unicode_script,
            split_by_whitespace: options.split_by_whitespace,
            split_by_number: options.split_by_number,
            split_digits: options.split_digits,
            max_length: options.max_sentencepiece_length,
            // Building fails for more symbols than ids can name, which were refused before.
            symbols: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(meta_pieces.values().map(|piece| &piece.text))
                .ok(),
        }
    }

    /// Adds the parts of a sentence.
    pub fn divide(&self, sentence: &str, table: &mut WordTable) {
        let mut start = 0;
        for symbol in self.symbols.iter().flat_map(|symbols| symbols.find_iter(sentence)) {
            self.divide_text(&sentence[start..symbol.start()], table);
            start = symbol.end();
        }
        self.divide_text(&sentence[start..], table);
    }

    fn divide_text(&self, text: &str, table: &mut WordTable) {
        let (mut start, mut before) = (0, None);
        for (at, c) in text.char_indices() {
            if is_no_text(c) {
                add(&text[start..at], table);
                (start, before) = (at + c.len_utf8(), None);
                continue;
            }
            let class = self.class(c);
            if before.is_some_and(|before| self.is_border(before, class)) {
                add(&text[start..at], table);
                start = at;
            }
            before = Some(class);
        }
        add(&text[start..], table);
    }

    fn class(&self, c: char) -> Class {
        let is_digit = c.is_ascii_digit();
        match c {
            SPACE => Class::Space,
            _ if is_digit && self.split_digits => Class::Alone,
            _ if is_digit && !self.split_by_number => Class::Any,
            // The mark of a long vowel belongs to both kana.
            'ー' => Class::Script(Script::Han),
            _ => match c.script() {
                Script::Hiragana | Script::Katakana => Class::Script(Script::Han),
                Script::Inherited => Class::Inherited,
                Script::Unknown => Class::Script(Script::Common),
                script => Class::Script(script),
            },
        }
    }

    /// Whether no piece holds a character of the first class and, behind it, one of the second.
    fn is_border(&self, before: Class, class: Class) -> bool {
        match (before, class) {
            (_, Class::Space) => self.split_by_whitespace,
            (Class::Alone, _) | (_, Class::Alone) => true,
            (Class::Script(a), Class::Script(b)) => self.split_by_unicode_script && a != b,
            _ => false,
        }
    }

    /// Whether this, which has no border in it, may be a piece.
    pub fn is_piece(&self, text: &str) -> bool {
        let mut script = None;
        let mut length = 0;
        for c in text.chars() {
            length += 1;
            match self.class(c) {
                Class::Script(found) => {
                    if self.split_by_unicode_script && script.is_some_and(|script| script != found)
                    {
                        return false;
                    }
                    script = Some(found);
                }
                Class::Any => script = None,
                _ => {}
            }
        }
        length <= self.max_length && (length == 1 || !text.ends_with(SPACE))
    }
}

/// Characters that no piece may hold.
fn is_no_text(c: char) -> bool {
    matches!(c, '\0' | ' ' | RESERVED)
}

fn add(part: &str, table: &mut WordTable) {
    if !part.is_empty() {
        table.add(part, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(options: &TrainUnigramOptions, text: &str) -> Vec<String> {
        let mut table = WordTable::default();
        let meta_pieces = options.meta_pieces().unwrap();
        Divider::new(options, &meta_pieces).divide(text, &mut table);
        table.iter().map(|(part, _)| part.to_string()).collect()
    }

    #[test]
    fn scripts_spaces_and_symbols_are_borders() {
        let options = TrainUnigramOptions::default();
        assert_eq!(parts(&options, "▁Kočka▁a2,3b"), ["▁Kočka", "▁a", "2,3", "b"]);
        assert_eq!(parts(&options, "日本語のカタカナー、ABC"), ["日本語のカタカナー", "、", "ABC"]);
        assert_eq!(parts(&options, "▁a</s>b<s>"), ["▁a", "b"]);
        assert_eq!(parts(&options, "a\0b▅c"), ["a", "b", "c"]);
        // A combining mark goes with any letter.
        assert_eq!(parts(&options, "a\u{301}яb"), ["a\u{301}я", "b"]);
    }

    #[test]
    fn options_take_borders_away_and_add_some() {
        let options = TrainUnigramOptions { split_digits: true, ..Default::default() };
        assert_eq!(parts(&options, "▁12a"), ["▁", "1", "2", "a"]);
        let options = TrainUnigramOptions { split_by_number: false, ..Default::default() };
        assert_eq!(parts(&options, "▁a12b"), ["▁a12b"]);
        let options = TrainUnigramOptions {
            split_by_unicode_script: false,
            split_by_whitespace: false,
            ..Default::default()
        };
        assert_eq!(parts(&options, "▁a日▁b"), ["▁a日▁b"]);
    }

    #[test]
    fn a_piece_is_of_one_script_and_not_too_long() {
        let options = TrainUnigramOptions { max_sentencepiece_length: 4, ..Default::default() };
        let divider = Divider::new(&options, &options.meta_pieces().unwrap());
        assert!(divider.is_piece("▁abc") && divider.is_piece("\u{301}я") && divider.is_piece("▁"));
        assert!(
            !divider.is_piece("▁abcd") && !divider.is_piece("a\u{301}я") && !divider.is_piece("a▁")
        );
    }
}
