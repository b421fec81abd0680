//! Distinct words and how often they occur.

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::Forgotten;

/// Bytes of text that are counted in one task. It is fixed, so that no order depends on the number of threads.
const PART_BYTES: usize = 1 << 19;

/// A table of words in the order in which they first came.
///
/// The words lie end to end in one string: an entry costs 20 to 35 bytes and its letters.
#[derive(Default)]
pub(super) struct WordTable {
    text: String,
    ends: Vec<usize>,
    counts: Vec<u64>,
    places: HashTable<usize>,
    forgotten: Forgotten,
}

/// What learning from a table costs, in bytes of memory.
pub(super) struct Cost {
    /// For every byte of a word.
    pub byte: u64,
    /// For every word.
    pub word: u64,
}

impl WordTable {
    /// Counts the words of texts, on all cores. `divide` adds the words of one text to a table.
    pub(super) fn count<S: AsRef<str> + Sync>(
        &mut self,
        texts: &[S],
        divide: impl Fn(&str, &mut WordTable) + Sync,
    ) {
        let count_part = |part: &&[S]| {
            let mut table = Self::default();
            part.iter().for_each(|text| divide(text.as_ref(), &mut table));
            table
        };
        let tables: Vec<Self> = parts(texts).par_iter().map(count_part).collect();
        for table in &tables {
            table.iter().for_each(|(word, count)| self.add(word, count));
        }
    }

    /// Counts a word.
    pub(super) fn add(&mut self, word: &str, count: u64) {
        let Self { text, ends, counts, places, .. } = self;
        let word_at = |place: usize| {
            let start = place.checked_sub(1).map_or(0, |before| ends[before]);
            &text[start..ends[place]]
        };
        let hash = xxh3_64(word.as_bytes());
        let found = places.find(hash, |&place| word_at(place) == word).copied();
        if let Some(place) = found {
            counts[place] += count;
            return;
        }
        places.insert_unique(hash, ends.len(), |&place| xxh3_64(word_at(place).as_bytes()));
        text.push_str(word);
        ends.push(text.len());
        counts.push(count);
    }

    /// Words with their numbers, in the order in which they first came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, &end)| &self.text[start..end]).zip(self.counts.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// What a limit has cost so far.
    pub(super) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    /// Forgets the rarest words when learning from the table would cost more than `limit` bytes; three quarters of
    /// it are in use afterwards.
    pub(super) fn fit(&mut self, limit: u64, cost: &Cost) {
        let whole = self.text.len() as u64 * cost.byte + self.counts.len() as u64 * cost.word;
        if whole <= limit {
            return;
        }
        let mut costs: Vec<(u64, u64)> = self
            .iter()
            .map(|(word, count)| (count, word.len() as u64 * cost.byte + cost.word))
            .collect();
        costs.sort_unstable();
        let (mut left, mut most) = (whole, 0);
        for (count, cost) in costs {
            // All words of a number go or stay together.
            if left <= limit / 4 * 3 && count > most {
                break;
            }
            left -= cost;
            most = count;
        }
        let mut kept = Self { forgotten: self.forgotten, ..Self::default() };
        for (word, count) in self.iter() {
            if count > most {
                kept.add(word, count);
            } else {
                kept.forgotten.words += 1;
                kept.forgotten.occurrences += count;
            }
        }
        *self = kept;
    }
}

/// Divides texts into runs of about [`PART_BYTES`].
fn parts<S: AsRef<str>>(texts: &[S]) -> Vec<&[S]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, text) in texts.iter().enumerate() {
        bytes += text.as_ref().len();
        if bytes >= PART_BYTES {
            parts.push(&texts[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    if start < texts.len() {
        parts.push(&texts[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(text: &str, table: &mut WordTable) {
        text.split(' ').for_each(|word| table.add(word, 1));
    }

    fn counted(texts: &[&str]) -> WordTable {
        let mut table = WordTable::default();
        table.count(texts, divide);
        table
    }

    #[test]
    fn words_are_counted_in_the_order_in_which_they_come() {
        let table = counted(&["b a b", "c b", "a"]);
        assert_eq!(table.iter().collect::<Vec<_>>(), [("b", 3), ("a", 2), ("c", 1)]);
    }

    #[test]
    fn parts_are_no_border_for_counting() {
        let text = "eins zwei drei vier fünf ".repeat(PART_BYTES / 50);
        let texts = [text.as_str(); 5];
        assert!(parts(&texts).len() > 1);
        let table = counted(&texts);
        let five = 5 * (PART_BYTES as u64 / 50);
        assert_eq!(table.iter().take(5).map(|(_, count)| count).collect::<Vec<_>>(), [five; 5]);
    }

    #[test]
    fn a_limit_forgets_the_rarest_words_and_says_so() {
        let mut table = counted(&["a a a b b c c d"]);
        let cost = Cost { byte: 1, word: 9 };
        table.fit(40, &cost);
        assert_eq!((table.iter().count(), table.forgotten()), (4, Forgotten::default()));
        table.fit(39, &cost);
        assert_eq!(table.iter().collect::<Vec<_>>(), [("a", 3)]);
        assert_eq!(table.forgotten(), Forgotten { words: 3, occurrences: 5 });
        table.add("d", 1);
        assert_eq!(table.iter().count(), 2);
    }
}
