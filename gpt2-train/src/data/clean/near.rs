//! Texts that are almost the same, by MinHash and locality-sensitive hashing.
//!
//! The similarity of two texts is that of the sets of their shingles (all runs of so many characters or words): the
//! size of the intersection over that of the union, after Jaccard. The share of equal numbers in two signatures
//! estimates it (Broder, "On the resemblance and containment of documents", 1997). Texts that could be alike are found
//! by bands of the signature that are equal (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3).

use std::collections::HashMap;

use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::report::Place;
use crate::{Error, Result};

/// Numbers in a signature. The standard error of an estimate `s` is `sqrt(s (1 - s) / 128)`: at most 0.044.
const NUMBERS: usize = 128;

/// A pair whose similarity is the threshold is looked at with at least this probability.
const FOUND: f64 = 0.95;

/// How near duplicates are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NearOptions {
    /// Texts are duplicates from this similarity on, more than 0 and at most 1.
    pub threshold: f64,
    /// What shingles are made of.
    pub shingle_unit: ShingleUnit,
    /// So many of them make a shingle. A text with fewer is one shingle.
    pub shingle_size: usize,
}

impl Default for NearOptions {
    /// A similarity of 0.8 of shingles of 9 characters.
    fn default() -> Self {
        Self { threshold: 0.8, shingle_unit: ShingleUnit::Characters, shingle_size: 9 }
    }
}

impl NearOptions {
    pub(super) fn check(&self) -> Result<()> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Err(Error::option("threshold", self.threshold, "more than 0 and at most 1"));
        }
        if self.shingle_size == 0 {
            return Err(Error::option("shingle_size", 0, "at least 1"));
        }
        Ok(())
    }
}

/// What shingles are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum ShingleUnit {
    /// Characters: for every language
    Characters,
    /// What stands between white space
    Words,
}

/// The smallest hashes of a text's shingles, each under another permutation.
pub(super) type Signature = [u32; NUMBERS];

/// Makes signatures.
pub(super) struct MinHasher {
    unit: ShingleUnit,
    size: usize,
    /// Two numbers for each permutation `(hash ^ a) * b` of the hashes, `b` odd.
    permutations: [(u32, u32); NUMBERS],
}

impl MinHasher {
    pub fn new(options: &NearOptions) -> Self {
        // Always the same, so that the same texts are kept by every run.
        let permutations = std::array::from_fn(|i| {
            let hash = xxh3_64(&(i as u64).to_le_bytes());
            ((hash >> 32) as u32, hash as u32 | 1)
        });
        Self { unit: options.shingle_unit, size: options.shingle_size, permutations }
    }

    /// The signature of a text in which single spaces are all the white space.
    pub fn signature(&self, text: &str) -> Signature {
        let mut signature = [u32::MAX; NUMBERS];
        let mut add = |shingle: &str| {
            let hash = xxh3_64(shingle.as_bytes()) as u32;
            for (least, (a, b)) in signature.iter_mut().zip(&self.permutations) {
                *least = (*least).min((hash ^ a).wrapping_mul(*b));
            }
        };
        // Where units begin, and one past the end of the unit that begins there.
        let units: Vec<(usize, usize)> = match self.unit {
            ShingleUnit::Characters => {
                text.char_indices().map(|(at, c)| (at, at + c.len_utf8())).collect()
            }
            ShingleUnit::Words => {
                let ends = text.match_indices(' ').map(|(at, _)| at).chain([text.len()]);
                let begin = |begin: &mut usize, end| Some((std::mem::replace(begin, end + 1), end));
                ends.scan(0, begin).collect()
            }
        };
        if units.len() < self.size {
            add(text);
        }
        for shingle in units.windows(self.size) {
            add(&text[shingle[0].0..shingle[self.size - 1].1]);
        }
        signature
    }
}

/// The texts that were kept, found by signatures that are almost the same.
///
/// A text takes [`NUMBERS`] numbers of 16 bits and an entry in a table for each band: about a kilobyte.
pub(super) struct NearIndex {
    threshold: f64,
    rows: usize,
    /// The first text with this hash of a band.
    bands: HashMap<u64, u32>,
    /// Signatures, the lower half of each number, one text after another.
    signatures: Vec<u16>,
    places: Vec<Place>,
}

impl NearIndex {
    pub fn new(options: &NearOptions) -> Self {
        Self {
            threshold: options.threshold,
            rows: rows(options.threshold),
            bands: HashMap::new(),
            signatures: Vec::new(),
            places: Vec::new(),
        }
    }

    /// The text that is most like this one and at least as much as the threshold, and how much; the earliest of several.
    pub fn find(&self, signature: &Signature) -> Option<(Place, f64)> {
        let mut best: Option<(u32, usize)> = None;
        let mut seen = Vec::new();
        for text in self.hashes(signature).filter_map(|hash| self.bands.get(&hash).copied()) {
            if seen.contains(&text) {
                continue;
            }
            seen.push(text);
            let equal = self.equal_numbers(text, signature);
            if best.is_none_or(|(other, most)| equal > most || equal == most && text < other) {
                best = Some((text, equal));
            }
        }
        let (text, equal) = best?;
        let similarity = equal as f64 / NUMBERS as f64;
        (similarity >= self.threshold).then(|| (self.places[text as usize], similarity))
    }

    /// Keeps a text.
    pub fn insert(&mut self, signature: &Signature, place: Place) {
        let text = self.places.len() as u32;
        self.places.push(place);
        self.signatures.extend(signature.iter().map(|number| *number as u16));
        let hashes: Vec<u64> = self.hashes(signature).collect();
        for hash in hashes {
            // Where a band has one already, others of the text's bands will find it.
            self.bands.entry(hash).or_insert(text);
        }
    }

    fn hashes(&self, signature: &Signature) -> impl Iterator<Item = u64> {
        let bands = signature.chunks_exact(self.rows).zip(0..);
        bands.map(|(band, seed)| xxh3_64_with_seed(bytemuck::cast_slice(band), seed))
    }

    fn equal_numbers(&self, text: u32, signature: &Signature) -> usize {
        let start = text as usize * NUMBERS;
        let numbers = &self.signatures[start..start + NUMBERS];
        numbers.iter().zip(signature).filter(|(one, other)| **one == **other as u16).count()
    }
}

/// Rows of a band: as many as still find a pair at the threshold with the probability [`FOUND`].
fn rows(threshold: f64) -> usize {
    let found = |rows: usize| {
        let bands = NUMBERS / rows;
        1.0 - (1.0 - threshold.powi(rows as i32)).powi(bands as i32)
    };
    (1..=NUMBERS).rev().find(|rows| found(*rows) >= FOUND).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PLACE: Place = Place { file: 0, line: 1 };

    fn options(unit: ShingleUnit, size: usize, threshold: f64) -> NearOptions {
        NearOptions { threshold, shingle_unit: unit, shingle_size: size }
    }

    /// A text of words that are drawn from a list, and one in which some are replaced.
    fn pair(seed: u64, length: u64, replaced: u64) -> (String, String) {
        let word =
            |i: u64, salt: u64| format!("w{}", xxh3_64_with_seed(&i.to_le_bytes(), seed ^ salt));
        let one: Vec<String> = (0..length).map(|i| word(i, 0)).collect();
        let other = (0..length).map(|i| word(i, u64::from(i < replaced)));
        (one.join(" "), other.collect::<Vec<_>>().join(" "))
    }

    fn jaccard(one: &str, other: &str, size: usize) -> f64 {
        let shingles = |text: &str| -> HashSet<String> {
            let words: Vec<&str> = text.split(' ').collect();
            words.windows(size).map(|shingle| shingle.join(" ")).collect()
        };
        let (one, other) = (shingles(one), shingles(other));
        one.intersection(&other).count() as f64 / one.union(&other).count() as f64
    }

    #[test]
    fn signatures_estimate_the_jaccard_similarity() {
        let hasher = MinHasher::new(&options(ShingleUnit::Words, 3, 0.8));
        let (mut sum, mut worst) = (0.0, 0.0_f64);
        for seed in 0..200 {
            let (one, other) = pair(seed, 200, seed % 100);
            let (a, b) = (hasher.signature(&one), hasher.signature(&other));
            let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / NUMBERS as f64;
            let error = equal - jaccard(&one, &other, 3);
            sum += error;
            worst = worst.max(error.abs());
        }
        // Four standard errors, and no tendency.
        assert!(worst < 0.18 && (sum / 200.0).abs() < 0.01, "{worst} {}", sum / 200.0);
    }

    #[test]
    fn texts_above_the_threshold_are_found_and_others_are_not() {
        let options = options(ShingleUnit::Words, 2, 0.7);
        let hasher = MinHasher::new(&options);
        let mut index = NearIndex::new(&options);
        let pairs: Vec<(String, String)> = (0..200).map(|i| pair(i, 300, i)).collect();
        for (one, _) in &pairs {
            assert_eq!(index.find(&hasher.signature(one)), None);
            index.insert(&hasher.signature(one), PLACE);
        }
        for (one, other) in &pairs {
            let similarity = jaccard(one, other, 2);
            let found = index.find(&hasher.signature(other)).is_some();
            if !(0.55..=0.85).contains(&similarity) {
                assert_eq!(found, similarity > 0.7, "{similarity}");
            }
        }
    }

    #[test]
    fn bands_find_a_pair_at_the_threshold() {
        assert_eq!((rows(0.5), rows(0.8), rows(1.0)), (3, 7, 128));
        assert_eq!(rows(0.01), 1);
    }

    #[test]
    fn a_text_shorter_than_a_shingle_is_one() {
        for unit in [ShingleUnit::Characters, ShingleUnit::Words] {
            let hasher = MinHasher::new(&options(unit, 9, 0.8));
            assert_eq!(hasher.signature("はい"), hasher.signature("はい"));
            assert_ne!(hasher.signature("はい"), hasher.signature("いい"));
        }
    }

    #[test]
    fn options_that_find_nothing_are_refused() {
        for (threshold, size) in [(0.0, 5), (1.1, 5), (f64::NAN, 5), (0.8, 0)] {
            assert!(options(ShingleUnit::Words, size, threshold).check().is_err());
        }
    }
}
