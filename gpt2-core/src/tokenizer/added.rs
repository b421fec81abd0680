//! Added tokens in a text: what is cut out before the rest is divided into words.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_syntax::is_word_character;

use super::special::AddedToken;
use crate::{Error, Result};

/// A part of a text, as a range of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// What is divided into words.
    Text(Range<usize>),
    /// An added token, with the white space around it that it takes in.
    Token(u32, Range<usize>),
}

/// Finds added tokens as the `tokenizers` library does where nothing changes the text: first those that are looked for
/// in the text as it is, and in what is left those that are looked for in the normalized text.
pub(super) struct AddedFinder {
    searches: Vec<Search>,
}

/// Tokens that are looked for at once; at each place the longest one counts.
struct Search {
    tokens: Vec<AddedToken>,
    automaton: AhoCorasick,
}

impl AddedFinder {
    /// # Errors
    /// [`Error::Tokenizer`] for more tokens than can be looked for.
    pub(super) fn new(added: &[AddedToken]) -> Result<Self> {
        let mut searches = Vec::new();
        for normalized in [false, true] {
            let tokens = added.iter().filter(|token| token.normalized == normalized);
            let tokens: Vec<AddedToken> =
                tokens.filter(|token| !token.content.is_empty()).cloned().collect();
            if tokens.is_empty() {
                continue;
            }
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(tokens.iter().map(|token| &token.content))
                .map_err(|error| Error::Tokenizer { path: None, reason: error.to_string() })?;
            searches.push(Search { tokens, automaton });
        }
        Ok(Self { searches })
    }

    /// The parts of a text in their order, none of them empty.
    pub(super) fn parts(&self, text: &str) -> Vec<Part> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut parts = vec![Part::Text(0..text.len())];
        for search in &self.searches {
            if search.automaton.is_match(text) {
                parts = parts.into_iter().flat_map(|part| search.divide(text, part)).collect();
            }
        }
        parts
    }
}

impl Search {
    fn divide(&self, text: &str, part: Part) -> Vec<Part> {
        let Part::Text(whole) = part else { return vec![part] };
        let text = &text[whole.clone()];
        let mut parts = Vec::new();
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            let token = &self.tokens[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            if token.single_word && is_inside_a_word(text, start, end) {
                continue;
            }
            if token.lstrip {
                // White space that an earlier token has taken in is gone.
                start = text[..start].trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if done < start {
                parts.push(Part::Text(whole.start + done..whole.start + start));
            }
            parts.push(Part::Token(token.id, whole.start + start..whole.start + end));
            done = end;
        }
        if done < text.len() {
            parts.push(Part::Text(whole.start + done..whole.end));
        }
        parts
    }
}

/// Whether a word goes on before or behind this part of a text.
fn is_inside_a_word(text: &str, start: usize, end: usize) -> bool {
    text[..start].chars().next_back().is_some_and(is_word_character)
        || text[end..].chars().next().is_some_and(is_word_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tokens: &[AddedToken], text: &str) -> Vec<(Option<u32>, String)> {
        let finder = AddedFinder::new(tokens).unwrap();
        let part = |part| match part {
            Part::Text(range) => (None, text[range].to_string()),
            Part::Token(id, range) => (Some(id), text[range].to_string()),
        };
        finder.parts(text).into_iter().map(part).collect()
    }

    fn parts(parts: &[(Option<u32>, &str)]) -> Vec<(Option<u32>, String)> {
        parts.iter().map(|(id, text)| (*id, text.to_string())).collect()
    }

    #[test]
    fn a_text_without_added_tokens_is_one_part() {
        let token = AddedToken::plain("<e>", 7, true);
        assert_eq!(found(&[], "a b"), parts(&[(None, "a b")]));
        assert_eq!(found(&[], ""), parts(&[]));
        assert_eq!(found(&[token], "a <e b"), parts(&[(None, "a <e b")]));
    }

    #[test]
    fn the_longest_token_counts() {
        let tokens = [AddedToken::plain("ab", 1, true), AddedToken::plain("abc", 2, true)];
        let expected = [(None, "x"), (Some(2), "abc"), (Some(1), "ab"), (None, "d")];
        assert_eq!(found(&tokens, "xabcabd"), parts(&expected));
    }

    #[test]
    fn tokens_of_the_text_as_it_is_come_first() {
        let tokens = [AddedToken::plain("aXb", 1, false), AddedToken::plain("X", 2, true)];
        assert_eq!(found(&tokens, "aXb"), parts(&[(None, "a"), (Some(2), "X"), (None, "b")]));
    }

    #[test]
    fn white_space_and_words_around_a_token_are_heeded() {
        let strip = AddedToken { lstrip: true, rstrip: true, ..AddedToken::plain("<m>", 1, true) };
        let expected = [(None, "a"), (Some(1), " \u{3000}<m>  "), (Some(1), "<m> "), (None, "b")];
        assert_eq!(found(&[strip], "a \u{3000}<m>  <m> b"), parts(&expected));
        let word = AddedToken { single_word: true, ..AddedToken::plain("cat", 1, true) };
        let expected = [(None, "cats ácat "), (Some(1), "cat"), (None, ".")];
        assert_eq!(found(&[word], "cats ácat cat."), parts(&expected));
    }
}
