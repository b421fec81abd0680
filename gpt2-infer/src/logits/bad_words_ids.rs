//! `bad_words_ids`.

use super::{EXCLUDED, LogitsProcessor, SequenceBias};
use crate::{Error, Result};

/// Rules out tokens, and the last token of a sequence where all others come before it.
///
/// Equals `transformers`' `NoBadWordsLogitsProcessor`: a word that is nothing but an end-of-text
/// token stays possible.
#[derive(Debug, Clone, PartialEq)]
pub struct NoBadWords {
    bias: SequenceBias,
}

impl NoBadWords {
    /// Rules out each of these words but those that are one of `eos_token_id`.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no word, or one has no token.
    pub fn new(bad_words_ids: &[Vec<u32>], eos_token_id: &[u32]) -> Result<Self> {
        let refuse = |found, expected| Err(Error::option("bad_words_ids", found, expected));
        if bad_words_ids.is_empty() {
            return refuse("empty", "a list of words");
        }
        if bad_words_ids.iter().any(Vec::is_empty) {
            return refuse("a word without tokens", "words of at least one token");
        }
        let is_end = |word: &[u32]| matches!(word, [id] if eos_token_id.contains(id));
        let words = bad_words_ids.iter().map(Vec::as_slice).filter(|word| !is_end(word));
        Ok(Self { bias: SequenceBias::of(words.map(|word| (word, f64::from(EXCLUDED)))) })
    }
}

impl LogitsProcessor for NoBadWords {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        self.bias.process(ids, scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(words: &[Vec<u32>], eos: &[u32], ids: &[u32]) -> Vec<usize> {
        let mut scores = [0.0; 5];
        NoBadWords::new(words, eos).unwrap().process(ids, &mut scores);
        (0..scores.len()).filter(|&at| scores[at] == EXCLUDED).collect()
    }

    #[test]
    fn the_last_token_of_a_begun_word_is_excluded() {
        let words = [vec![4], vec![1, 2], vec![0, 1, 3], vec![1, 1, 2]];
        assert_eq!(excluded(&words, &[], &[]), [4]);
        assert_eq!(excluded(&words, &[], &[3, 1]), [2, 4]);
        assert_eq!(excluded(&words, &[], &[0, 1]), [2, 3, 4]);
        assert_eq!(excluded(&words, &[], &[1, 1]), [2, 4]);
    }

    #[test]
    fn end_of_text_alone_is_no_bad_word() {
        let words = [vec![4], vec![1, 4], vec![3]];
        assert_eq!(excluded(&words, &[4, 0], &[0]), [3]);
        assert_eq!(excluded(&words, &[4, 0], &[1]), [3, 4]);
        assert_eq!(excluded(&[vec![4]], &[4], &[1]), [0; 0]);
    }

    #[test]
    fn words_have_tokens() {
        for words in [vec![], vec![vec![]]] {
            let error = NoBadWords::new(&words, &[]).unwrap_err().to_string();
            assert!(error.starts_with("`bad_words_ids` is"), "{error}");
        }
    }
}
