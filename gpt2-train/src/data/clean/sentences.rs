//! Where sentences end.

use serde::{Serialize, Serializer};

use crate::{Error, Result};

/// Brackets and quotation marks that come in pairs.
const PAIRS: [(char, char); 12] = [
    ('「', '」'),
    ('『', '』'),
    ('（', '）'),
    ('(', ')'),
    ('【', '】'),
    ('〈', '〉'),
    ('《', '》'),
    ('〔', '〕'),
    ('［', '］'),
    ('[', ']'),
    ('“', '”'),
    ('‘', '’'),
];

/// Divides text into sentences behind marks such as `。`.
///
/// - A sentence ends behind a mark, or several in a row, and the closing brackets and quotation marks that follow.
/// - None ends between a bracket or quotation mark and its partner in the same line: `「はい。」と言った。` is one.
/// - Behind an ASCII mark, as `.`, one ends only before white space, so that `3.14` is none.
/// - One ends with its line.
///
/// # Example
/// ```
/// use gpt2_train::data::SentenceSplitter;
///
/// let splitter = SentenceSplitter::default();
/// let sentences: Vec<_> = splitter.sentences("雨だ。「行こう。」と彼は言った。").collect();
/// assert_eq!(sentences, ["雨だ。", "「行こう。」と彼は言った。"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceSplitter {
    marks: Vec<char>,
}

impl Default for SentenceSplitter {
    /// Sentences end behind `。`.
    fn default() -> Self {
        Self { marks: vec!['。'] }
    }
}

impl Serialize for SentenceSplitter {
    /// As the string of its marks.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.marks.iter().collect::<String>())
    }
}

impl SentenceSplitter {
    /// Sentences that end behind these marks.
    ///
    /// # Errors
    /// [`Error::Option`] where there is none, or a letter, digit, bracket or white space among them.
    pub fn new(marks: &str) -> Result<Self> {
        let is_mark = |c: char| !c.is_alphanumeric() && !c.is_whitespace() && !is_of_a_pair(c);
        if marks.is_empty() || !marks.chars().all(is_mark) {
            let expected = "punctuation marks, as \"。！？\"";
            return Err(Error::option("sentence_marks", format!("{marks:?}"), expected));
        }
        Ok(Self { marks: marks.chars().collect() })
    }

    /// The sentences of a text in their order, without white space at their ends and without blank ones.
    pub fn sentences<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        text.lines().flat_map(|line| self.of_line(line))
    }

    fn of_line<'t>(&self, line: &'t str) -> Vec<&'t str> {
        let closed = closed_pairs(line);
        let (mut sentences, mut start) = (Vec::new(), 0);
        let mut chars = line.char_indices().peekable();
        // Ends of the pairs that the current place is in.
        let mut inside: Vec<usize> = Vec::new();
        let mut pairs = closed.into_iter().peekable();
        while let Some((at, c)) = chars.next() {
            inside.retain(|end| *end > at);
            inside.extend(pairs.next_if(|(open, _)| *open == at).map(|(_, close)| close));
            if !inside.is_empty() || !self.marks.contains(&c) {
                continue;
            }
            let mut last = c;
            while let Some((_, next)) = chars.next_if(|(_, c)| self.marks.contains(c)) {
                last = next;
            }
            while chars.next_if(|(_, c)| closes(*c)).is_some() {}
            let end = chars.peek().map_or(line.len(), |(at, _)| *at);
            if last.is_ascii() && chars.peek().is_some_and(|(_, next)| !next.is_whitespace()) {
                continue;
            }
            sentences.push(line[start..end].trim());
            start = end;
        }
        sentences.push(line[start..].trim());
        sentences.retain(|sentence| !sentence.is_empty());
        sentences
    }
}

fn is_of_a_pair(c: char) -> bool {
    PAIRS.iter().any(|(open, close)| c == *open || c == *close)
}

/// Whether a character that follows a mark belongs to the sentence before it.
fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | '»') || PAIRS.iter().any(|(_, close)| c == *close)
}

/// Places of the brackets and quotation marks of a line that have a partner, in the order of the opening ones.
fn closed_pairs(line: &str) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::new(), Vec::new());
    for (at, c) in line.char_indices() {
        if let Some((_, close)) = PAIRS.iter().find(|(open, _)| c == *open) {
            open.push((at, *close));
        } else if let Some(partner) = open.iter().rposition(|(_, close)| c == *close) {
            // What was opened since has no partner.
            pairs.push((open[partner].0, at));
            open.truncate(partner);
        }
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'t>(marks: &str, text: &'t str) -> Vec<&'t str> {
        SentenceSplitter::new(marks).unwrap().sentences(text).collect()
    }

    #[test]
    fn a_sentence_ends_behind_a_mark_and_with_its_line() {
        assert_eq!(split("。", "一。二。\n三\n\n 四。 五 "), ["一。", "二。", "三", "四。", "五"]);
        assert_eq!(split("。！？", "え！？はい。。"), ["え！？", "はい。。"]);
        assert!(split("。", " \n\n").is_empty());
    }

    #[test]
    fn closing_marks_belong_to_the_sentence_before_them() {
        assert_eq!(split("。", "彼は（笑う。）次。"), ["彼は（笑う。）次。"]);
        assert_eq!(split("。", "終わり。」次。"), ["終わり。」", "次。"]);
        assert_eq!(
            split(".", "He said \"no.\" Then he left."),
            ["He said \"no.\"", "Then he left."]
        );
    }

    #[test]
    fn no_sentence_ends_within_quotation_marks_that_are_closed() {
        let text = "「はい。」と言った。「『一。』二。」三。";
        assert_eq!(split("。", text), ["「はい。」と言った。", "「『一。』二。」三。"]);
        // One that is never closed, or was never opened, is like any other character.
        assert_eq!(split("。", "「一。二。"), ["「一。", "二。"]);
        assert_eq!(split("。", "（「一。）二。三。"), ["（「一。）二。", "三。"]);
    }

    #[test]
    fn an_ascii_mark_needs_white_space_behind_it() {
        assert_eq!(split(".!?", "Pi is 3.14. Is it? Yes!"), ["Pi is 3.14.", "Is it?", "Yes!"]);
    }

    #[test]
    fn nothing_but_white_space_is_lost() {
        let text = "一。「二。」三「四。（五。』六。」、七。)";
        let together: String = split("。", text).concat();
        assert_eq!(together, text);
    }

    #[test]
    fn letters_and_brackets_are_no_marks() {
        for marks in ["", "a", "。 ", "」", "1"] {
            let error = SentenceSplitter::new(marks).unwrap_err().to_string();
            assert!(error.contains("`sentence_marks`"), "{error}");
        }
    }
}
