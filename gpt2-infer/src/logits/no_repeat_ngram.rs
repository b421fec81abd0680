//! `no_repeat_ngram_size`.

use super::{EXCLUDED, LogitsProcessor};
use crate::{Error, Result};

/// Rules out every token that would complete a run of tokens which occurred before.
///
/// Equals `transformers`' `NoRepeatNGramLogitsProcessor`, for a sequence without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRepeatNGram {
    size: usize,
}

impl NoRepeatNGram {
    /// Lets no run of `size` tokens occur twice.
    ///
    /// # Errors
    /// [`Error::Option`] when `size` is 0.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::option("no_repeat_ngram_size", size, "at least 1"));
        }
        Ok(Self { size })
    }
}

impl LogitsProcessor for NoRepeatNGram {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        if ids.len() < self.size {
            return;
        }
        let begun = &ids[ids.len() + 1 - self.size..];
        for run in ids.windows(self.size) {
            if let Some((&last, start)) = run.split_last()
                && start == begun
                && let Some(score) = scores.get_mut(last as usize)
            {
                *score = EXCLUDED;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(size: usize, ids: &[u32]) -> Vec<usize> {
        let mut scores = [0.0; 6];
        NoRepeatNGram::new(size).unwrap().process(ids, &mut scores);
        (0..scores.len()).filter(|&at| scores[at] == EXCLUDED).collect()
    }

    #[test]
    fn what_would_complete_a_run_is_excluded() {
        assert_eq!(excluded(2, &[1, 2, 3, 1, 4, 1]), [2, 4]);
        assert_eq!(excluded(3, &[1, 2, 3, 4, 1, 2]), [3]);
        assert_eq!(excluded(3, &[1, 2, 3, 4, 2, 1]), [0; 0]);
    }

    #[test]
    fn a_run_of_one_is_every_token_so_far() {
        assert_eq!(excluded(1, &[5, 0, 5]), [0, 5]);
    }

    #[test]
    fn a_text_shorter_than_the_run_excludes_nothing() {
        assert_eq!(excluded(3, &[1, 1]), [0; 0]);
        assert_eq!(excluded(2, &[]), [0; 0]);
    }

    #[test]
    fn a_run_has_tokens() {
        let error = NoRepeatNGram::new(0).unwrap_err().to_string();
        assert!(error.starts_with("`no_repeat_ngram_size` is 0"), "{error}");
    }
}
