//! `top_k`.

use super::{EXCLUDED, LogitsProcessor};
use crate::{Error, Result};

/// Leaves only the highest scores, and all that equal the last of them (Fan et al. 2018).
///
/// Equals `transformers`' `TopKLogitsWarper`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK {
    top_k: usize,
}

impl TopK {
    /// Leaves the `top_k` highest scores; a number beyond the vocabulary leaves all.
    ///
    /// # Errors
    /// [`Error::Option`] when `top_k` is 0.
    pub fn new(top_k: usize) -> Result<Self> {
        if top_k == 0 {
            return Err(Error::option("top_k", top_k, "at least 1"));
        }
        Ok(Self { top_k })
    }
}

impl LogitsProcessor for TopK {
    fn process(&self, _ids: &[u32], scores: &mut [f32]) {
        if self.top_k >= scores.len() {
            return;
        }
        let lowest = kth_largest(scores, self.top_k);
        for score in scores {
            *score = if *score < lowest { EXCLUDED } else { *score };
        }
    }
}

/// The `k`th largest of more than `k` scores, by selection.
///
/// Only scores above the `k`th largest so far are looked at again. Of tens of thousands of scores
/// few are, which is several times faster than selecting among all of them.
fn kth_largest(scores: &[f32], k: usize) -> f32 {
    let room = (4 * k).max(256);
    let mut best: Vec<f32> = Vec::with_capacity(room.min(scores.len()));
    let mut lowest = f32::NEG_INFINITY;
    let by_descending = |a: &f32, b: &f32| b.total_cmp(a);
    for &score in scores {
        // Scores of minus infinity come back in below, where they are missing.
        if score > lowest {
            best.push(score);
            if best.len() == room {
                lowest = *best.select_nth_unstable_by(k - 1, by_descending).1;
                best.truncate(k);
            }
        }
    }
    if best.len() < k {
        return f32::NEG_INFINITY;
    }
    *best.select_nth_unstable_by(k - 1, by_descending).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(top_k: usize, scores: &[f32]) -> Vec<usize> {
        let mut scores = scores.to_vec();
        TopK::new(top_k).unwrap().process(&[], &mut scores);
        (0..scores.len()).filter(|&at| scores[at] != EXCLUDED).collect()
    }

    #[test]
    fn the_highest_scores_are_kept() {
        assert_eq!(kept(2, &[1.0, 4.0, -3.0, 2.0]), [1, 3]);
        assert_eq!(kept(9, &[1.0, 4.0]), [0, 1]);
    }

    #[test]
    fn all_scores_that_equal_the_last_one_are_kept() {
        assert_eq!(kept(2, &[5.0, 1.0, 1.0, 0.0, 1.0]), [0, 1, 2, 4]);
    }

    #[test]
    fn excluded_scores_do_not_come_back() {
        assert_eq!(kept(3, &[EXCLUDED, 1.0, EXCLUDED, 2.0, EXCLUDED]), [1, 3]);
    }

    #[test]
    fn selection_agrees_with_sorting() {
        let hash = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32;
        let falling: Vec<f32> = (0..5000).map(|at| -(at as f32)).collect();
        let rising: Vec<f32> = (0..5000).map(|at| at as f32).collect();
        let mixed: Vec<f32> = (0..5000).map(hash).collect();
        let ties: Vec<f32> = (0..5000).map(|at| hash(at) % 7.0).collect();
        for scores in [falling, rising, mixed, ties] {
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for k in [1, 2, 50, 1249, 1250, 4999] {
                assert_eq!(kth_largest(&scores, k), sorted[k - 1]);
            }
        }
    }

    #[test]
    fn none_is_no_number_of_tokens() {
        let error = TopK::new(0).unwrap_err().to_string();
        assert_eq!(error, "`top_k` is 0, expected at least 1");
    }
}
