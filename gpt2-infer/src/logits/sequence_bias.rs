//! `sequence_bias`.

use std::collections::BTreeMap;

use super::LogitsProcessor;
use crate::{Error, Result};

/// Adds a bias to tokens, or to the last token of a sequence where all others come before it.
///
/// Equals `transformers`' `SequenceBiasLogitsProcessor`: of two biases of one sequence the last
/// counts, and those of different sequences that end alike add up.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceBias {
    /// For each last token, what has to come before it and the bias.
    endings: Vec<(u32, Vec<(Vec<u32>, f64)>)>,
}

impl SequenceBias {
    /// Sequences with their biases.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no sequence, one has no token, or a bias is not a finite
    /// number in single precision.
    pub fn new(sequence_bias: &[(Vec<u32>, f64)]) -> Result<Self> {
        let refuse = |found: &str, expected| Err(Error::option("sequence_bias", found, expected));
        if sequence_bias.is_empty() {
            return refuse("empty", "a list of sequences with their biases");
        }
        for (sequence, bias) in sequence_bias {
            if sequence.is_empty() {
                return refuse("a sequence without tokens", "sequences of at least one token");
            }
            if !(*bias as f32).is_finite() {
                return refuse(&format!("{sequence:?} with {bias}"), "a finite number");
            }
        }
        Ok(Self::of(sequence_bias.iter().map(|(sequence, bias)| (sequence.as_slice(), *bias))))
    }

    /// Unchecked; what has no token is passed over.
    pub(super) fn of<'a>(biases: impl Iterator<Item = (&'a [u32], f64)>) -> Self {
        let mut endings: BTreeMap<u32, BTreeMap<Vec<u32>, f64>> = BTreeMap::new();
        for (sequence, bias) in biases {
            if let Some((&last, before)) = sequence.split_last() {
                endings.entry(last).or_default().insert(before.to_vec(), bias);
            }
        }
        let endings = endings.into_iter().map(|(last, cases)| (last, cases.into_iter().collect()));
        Self { endings: endings.collect() }
    }
}

impl LogitsProcessor for SequenceBias {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        for (last, cases) in &self.endings {
            let fitting = cases.iter().filter(|(before, _)| ids.ends_with(before));
            let bias: f64 = fitting.map(|(_, bias)| bias).sum();
            if let Some(score) = scores.get_mut(*last as usize) {
                *score += bias as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn biased(list: &[(Vec<u32>, f64)], ids: &[u32]) -> [f32; 4] {
        let mut scores = [1.0; 4];
        SequenceBias::new(list).unwrap().process(ids, &mut scores);
        scores
    }

    #[test]
    fn a_sequence_is_biased_where_all_but_its_last_token_is_there() {
        let list = [(vec![0], -4.0), (vec![2, 1], 0.5), (vec![3, 2, 1], 2.0)];
        assert_eq!(biased(&list, &[]), [-3.0, 1.0, 1.0, 1.0]);
        assert_eq!(biased(&list, &[0, 2]), [-3.0, 1.5, 1.0, 1.0]);
        assert_eq!(biased(&list, &[3, 2]), [-3.0, 3.5, 1.0, 1.0]);
        assert_eq!(biased(&list, &[3, 2, 0]), [-3.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn the_last_bias_of_a_sequence_counts() {
        assert_eq!(biased(&[(vec![1], 5.0), (vec![1], 2.0)], &[]), [1.0, 3.0, 1.0, 1.0]);
    }

    #[test]
    fn a_token_outside_of_the_vocabulary_has_no_score() {
        assert_eq!(biased(&[(vec![4], 5.0)], &[]), [1.0; 4]);
    }

    #[test]
    fn only_finite_biases_of_tokens_are_accepted() {
        for list in [
            vec![],
            vec![(vec![], 1.0)],
            vec![(vec![1], f64::NAN)],
            vec![(vec![1], f64::INFINITY)],
            vec![(vec![1], 1e60)],
        ] {
            let error = SequenceBias::new(&list).unwrap_err().to_string();
            assert!(error.starts_with("`sequence_bias` is"), "{error}");
        }
    }
}
