//! Holding out parts of a corpus.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A part of a corpus, under the name that files have it by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model is trained on.
    #[default]
    Train,
    /// What it is measured with on the way.
    Valid,
    /// What it is measured with once, at the end.
    Test,
}

impl Split {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// `train`, `valid` or `test`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// What messages call data of this part: `training`, `validation` or `test`.
    #[must_use]
    pub fn set(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Valid => "validation",
            Self::Test => "test",
        }
    }
}

/// Something for each part of a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Splits<T> {
    /// Of [`Split::Train`].
    pub train: T,
    /// Of [`Split::Valid`].
    pub valid: T,
    /// Of [`Split::Test`].
    pub test: T,
}

impl<T> Splits<T> {
    /// What a part has, to be changed.
    pub fn get_mut(&mut self, split: Split) -> &mut T {
        match split {
            Split::Train => &mut self.train,
            Split::Valid => &mut self.valid,
            Split::Test => &mut self.test,
        }
    }
}

/// How a corpus is divided.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SplitBy {
    /// All of it is for training.
    #[default]
    Nothing,
    /// A share of the documents, drawn by a seed as [`split`] does, is for validation.
    Fraction {
        /// The share, between 0 and 1.
        valid: f64,
        /// The seed.
        seed: u64,
    },
    /// By lines of the files in their order, blank ones included, as `head` and `tail` count them: a document ends where
    /// a part does.
    Lines {
        /// First so many lines, for validation.
        valid: usize,
        /// Next so many lines, for the test.
        test: usize,
    },
}

impl SplitBy {
    /// The part that a line belongs to and the number of the part's last line, for the line behind the first `lines`.
    pub(super) fn part(self, lines: usize) -> (Split, usize) {
        let Self::Lines { valid, test } = self else { return (Split::Train, usize::MAX) };
        let end_of_test = valid.saturating_add(test);
        match lines {
            lines if lines < valid => (Split::Valid, valid),
            lines if lines < end_of_test => (Split::Test, end_of_test),
            _ => (Split::Train, usize::MAX),
        }
    }

    /// Checks that something is left to train on.
    ///
    /// # Errors
    /// [`Error::Dataset`] when the parts for validation and test are all of the corpus.
    pub(super) fn check_lines(self, lines: usize) -> Result<()> {
        let Self::Lines { valid, test } = self else { return Ok(()) };
        if valid.saturating_add(test) < lines {
            return Ok(());
        }
        let reason = format!(
            "there are {lines} lines, expected more than valid_lines = {valid} and test_lines = \
             {test} take"
        );
        Err(Error::Dataset { set: "training", reason })
    }
}

/// Splits off `fraction` of the items, chosen by `seed`; both parts keep the order of the input.
///
/// Returns `(kept, held_out)`; at least one item goes to either side.
///
/// # Errors
/// [`Error::Option`] when the fraction is not in (0, 1), [`Error::Dataset`] for fewer than two
/// items.
pub fn split<T>(items: Vec<T>, fraction: f64, seed: u64) -> Result<(Vec<T>, Vec<T>)> {
    let held_out = held_out(items.len(), fraction, seed)?;
    let (out, kept): (Vec<_>, Vec<_>) = items.into_iter().zip(held_out).partition(|(_, out)| *out);
    let strip = |part: Vec<(T, bool)>| part.into_iter().map(|(item, _)| item).collect();
    Ok((strip(kept), strip(out)))
}

/// For each of `items` documents whether [`split`] holds it out; the errors are the same.
pub(super) fn held_out(items: usize, fraction: f64, seed: u64) -> Result<Vec<bool>> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::option("valid_fraction", fraction, "a number between 0 and 1"));
    }
    if items < 2 {
        let reason = format!("{items} document cannot be split in two");
        return Err(Error::Dataset { set: "training", reason });
    }
    let count = ((items as f64 * fraction).round() as usize).clamp(1, items - 1);
    let mut order: Vec<usize> = (0..items).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut held_out = vec![false; items];
    for &index in &order[..count] {
        held_out[index] = true;
    }
    Ok(held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_holds_every_item_once_and_depends_on_the_seed() {
        let (kept, out) = split((0..50).collect(), 0.1, 1).unwrap();
        assert_eq!((kept.len(), out.len()), (45, 5));
        let mut all = [kept, out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert_eq!(split((0..50).collect(), 0.1, 1).unwrap().1, out);
        assert_ne!(split((0..50).collect(), 0.1, 2).unwrap().1, out);
    }

    #[test]
    fn either_side_gets_something() {
        assert_eq!(split(vec![1, 2], 0.01, 0).unwrap().1.len(), 1);
        assert_eq!(split(vec![1, 2], 0.99, 0).unwrap().0.len(), 1);
        assert!(split(vec![1], 0.5, 0).is_err());
        assert!(split(vec![1, 2], 0.0, 0).is_err());
        assert!(split(vec![1, 2], f64::NAN, 0).is_err());
    }

    #[test]
    fn lines_go_to_validation_then_test_then_training() {
        let by = SplitBy::Lines { valid: 2, test: 3 };
        let parts: Vec<_> = (0..7).map(|line| by.part(line).0.name()).collect();
        assert_eq!(parts, ["valid", "valid", "test", "test", "test", "train", "train"]);
        assert_eq!((by.part(1).1, by.part(2).1, by.part(5).1), (2, 5, usize::MAX));
        assert!(by.check_lines(6).is_ok());
        let message = by.check_lines(5).unwrap_err().to_string();
        assert!(message.contains("5 lines") && message.contains("valid_lines = 2"), "{message}");
        let all = SplitBy::Lines { valid: usize::MAX, test: usize::MAX };
        assert_eq!(all.part(7), (Split::Valid, usize::MAX));
        assert!(all.check_lines(7).is_err());
    }
}
