//! The parts that a vocabulary is learned from.

use std::collections::{BTreeMap, HashSet};

use super::options::TrainUnigramOptions;
use crate::tokenizer::train::words::WordTable;
use crate::{Error, Result};

/// Distinct parts, how often each occurs, and all of them as one text, each with NUL behind it.
#[derive(Default)]
pub(super) struct Segments {
    text: String,
    starts: Vec<usize>,
    counts: Vec<u64>,
}

impl Segments {
    /// Takes parts and their numbers.
    pub fn new<'p>(parts: impl Iterator<Item = (&'p str, u64)>) -> Self {
        let mut segments = Self::default();
        for (part, count) in parts {
            segments.starts.push(segments.text.len());
            segments.counts.push(count);
            segments.text.push_str(part);
            segments.text.push('\0');
        }
        segments
    }

    /// All parts, each with NUL behind it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// A part and how often it occurs.
    pub fn get(&self, index: usize) -> (&str, u64) {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.text.len());
        (&self.text[self.starts[index]..end - 1], self.counts[index])
    }

    /// The part at a place of the text.
    pub fn index_at(&self, place: usize) -> usize {
        self.starts.partition_point(|&start| start <= place).saturating_sub(1)
    }

    /// How often the part at a place of the text occurs.
    pub fn count_at(&self, place: usize) -> u64 {
        self.counts[self.index_at(place)]
    }

    /// All characters and how often they occur.
    pub fn characters(&self) -> BTreeMap<char, u64> {
        count_characters((0..self.len()).map(|index| self.get(index)))
    }
}

fn count_characters<'p>(parts: impl Iterator<Item = (&'p str, u64)>) -> BTreeMap<char, u64> {
    // Most characters are among the first; a tree for all of them would be half of the time of a pass.
    let mut few = [0_u64; 1 << 16];
    let mut others: BTreeMap<char, u64> = BTreeMap::new();
    for (part, count) in parts {
        for c in part.chars() {
            match few.get_mut(c as usize) {
                Some(slot) => *slot += count,
                None => *others.entry(c).or_default() += count,
            }
        }
    }
    let few = (0..).zip(few).filter(|&(_, count)| count > 0);
    others.extend(few.filter_map(|(code, count)| Some((char::from_u32(code)?, count))));
    others
}

/// The characters that the vocabulary must express, the most frequent first, and those that the options demand before
/// them.
pub(super) fn required_characters(words: &WordTable, options: &TrainUnigramOptions) -> Vec<char> {
    let demanded: HashSet<char> = options.required_chars.chars().filter(|&c| c != '\0').collect();
    let mut counts = count_characters(words.iter());
    let whole: u64 = counts.values().sum();
    for &c in &demanded {
        counts.entry(c).or_default();
    }
    let mut sorted: Vec<(bool, u64, char)> =
        counts.into_iter().map(|(c, count)| (demanded.contains(&c), count, c)).collect();
    sorted.sort_unstable_by_key(|&(demanded, count, c)| (!demanded, std::cmp::Reverse(count), c));
    let mut covered = 0;
    let is_wanted = |&(_, count, _): &(bool, u64, char)| {
        let share = (covered as f64 / whole as f64) as f32;
        covered += count;
        share < options.character_coverage
    };
    sorted.into_iter().take_while(is_wanted).map(|(_, _, c)| c).collect()
}

/// Takes rare characters out, which are borders like spaces: no piece holds one.
///
/// # Errors
/// [`Error::Tokenizer`] when nothing is left.
pub(super) fn without_rare(words: WordTable, required: &[char]) -> Result<Segments> {
    let required: HashSet<char> = required.iter().copied().collect();
    let mut parts = WordTable::default();
    for (word, count) in words.iter() {
        for part in word.split(|c| !required.contains(&c)).filter(|part| !part.is_empty()) {
            parts.add(part, count);
        }
    }
    drop(words);
    match parts.is_empty() {
        false => Ok(Segments::new(parts.iter())),
        true => {
            let reason = "no character is frequent enough, expected a higher `character_coverage`";
            Err(Error::Tokenizer { path: None, reason: reason.to_string() })
        }
    }
}
