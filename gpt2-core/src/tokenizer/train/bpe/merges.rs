//! Learning merges: the pair that occurs most often becomes a token, again and again.
//!
//! Equals `BpeTrainer::do_train` of the `tokenizers` library to the last merge, its habits included: of pairs that occur
//! equally often the one with the smaller ids is first, and what has become a pair at different times is merged at
//! different times. Symbols are four bytes here instead of forty, which is what bounds the corpus.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

/// Two neighbouring tokens.
pub(super) type Pair = (u32, u32);

/// The words of a corpus as tokens, each word once.
pub(super) struct Words {
    /// The tokens of all words. A word that shrinks leaves a gap behind it.
    tokens: Vec<u32>,
    /// Where each word begins, and how long it is now.
    places: Vec<(usize, u32)>,
    counts: Vec<u64>,
}

impl Words {
    /// Takes words and their numbers.
    pub(super) fn new<'w>(words: impl Iterator<Item = (&'w str, u64)>, ids: &[u32; 256]) -> Self {
        let mut made = Self { tokens: Vec::new(), places: Vec::new(), counts: Vec::new() };
        for (word, count) in words {
            made.places.push((made.tokens.len(), word.len() as u32));
            made.counts.push(count);
            made.tokens.extend(word.bytes().map(|byte| ids[usize::from(byte)]));
        }
        made.tokens.shrink_to_fit();
        made
    }

    fn get(&self, word: u32) -> &[u32] {
        let (start, length) = self.places[word as usize];
        &self.tokens[start..start + length as usize]
    }

    /// Puts `token` in the place of `pair` in a word. `change` hears of the pairs that so go (-1) and come (1).
    fn merge(&mut self, word: u32, pair: Pair, token: u32, mut change: impl FnMut(Pair, i64)) {
        let (start, length) = self.places[word as usize];
        let tokens = &mut self.tokens[start..start + length as usize];
        let (mut read, mut write) = (0, 0);
        while read < tokens.len() {
            if tokens[read] != pair.0 || tokens.get(read + 1) != Some(&pair.1) {
                tokens[write] = tokens[read];
                (read, write) = (read + 1, write + 1);
                continue;
            }
            if write > 0 {
                change((tokens[write - 1], pair.0), -1);
                change((tokens[write - 1], token), 1);
            }
            read += 2;
            if let Some(&next) = tokens.get(read) {
                change((pair.1, next), -1);
                change((token, next), 1);
            }
            tokens[write] = token;
            write += 1;
        }
        self.places[word as usize].1 = write as u32;
    }
}

/// A pair that waits to be merged in some words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    /// As it was when this was last looked at.
    count: u64,
    pair: Reverse<Pair>,
    /// Order of coming, so that a run is like every other.
    number: Reverse<usize>,
    words: Vec<u32>,
}

/// Pairs, their numbers, and who waits.
pub(super) struct Merges {
    words: Words,
    counts: HashMap<Pair, i64>,
    queue: BinaryHeap<Waiting>,
    pushed: usize,
}

impl Merges {
    pub(super) fn new(words: Words) -> Self {
        let mut merges =
            Self { words, counts: HashMap::new(), queue: BinaryHeap::new(), pushed: 0 };
        let mut found: HashMap<Pair, Vec<u32>> = HashMap::new();
        for word in 0..merges.words.places.len() as u32 {
            let count = merges.words.counts[word as usize] as i64;
            for pair in merges.words.get(word).windows(2) {
                let pair = (pair[0], pair[1]);
                *merges.counts.entry(pair).or_default() += count;
                note(&mut found, pair, word);
            }
        }
        merges.push(found);
        merges
    }

    /// The pair that occurs most often, if it occurs at least so often, with the words that it is in.
    pub(super) fn next(&mut self, min_frequency: u64) -> Option<(Pair, Vec<u32>)> {
        loop {
            let mut top = self.queue.pop()?;
            let now = self.count(top.pair.0);
            if top.count == now {
                return (now >= min_frequency.max(1)).then_some((top.pair.0, top.words));
            }
            top.count = now;
            self.queue.push(top);
        }
    }

    /// Makes a pair one token in these words.
    pub(super) fn merge(&mut self, pair: Pair, token: u32, words: &[u32]) {
        let Self { words: table, counts, .. } = self;
        let mut found: HashMap<Pair, Vec<u32>> = HashMap::new();
        for &word in words {
            let count = table.counts[word as usize] as i64;
            table.merge(word, pair, token, |pair, change| {
                *counts.entry(pair).or_default() += change * count;
                if change > 0 {
                    note(&mut found, pair, word);
                }
            });
        }
        self.push(found);
    }

    fn count(&self, pair: Pair) -> u64 {
        self.counts.get(&pair).map_or(0, |&count| u64::try_from(count).unwrap_or(0))
    }

    fn push(&mut self, found: HashMap<Pair, Vec<u32>>) {
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by_key(|(pair, _)| *pair);
        for (pair, mut words) in found {
            let count = self.count(pair);
            if count > 0 {
                words.shrink_to_fit();
                let number = Reverse(self.pushed);
                self.pushed += 1;
                self.queue.push(Waiting { count, pair: Reverse(pair), number, words });
            }
        }
    }
}

/// Notes that a word has a pair. Words come one after the other.
fn note(found: &mut HashMap<Pair, Vec<u32>>, pair: Pair, word: u32) {
    let words = found.entry(pair).or_default();
    if words.last() != Some(&word) {
        words.push(word);
    }
}
