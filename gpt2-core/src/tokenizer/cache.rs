//! Words that were encoded before.

use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

/// The longest word that is kept, in bytes.
const WORD: usize = 22;

/// The largest number of ids of a word that is kept.
const IDS: usize = 10;

/// Number of words that are kept: one MiB of them, which is what a core has to itself.
const SLOTS: usize = 1 << 14;

/// A word and its ids, in one line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    word: [u8; WORD],
    /// Bytes of the word; 0 in an empty slot.
    length: u8,
    count: u8,
    ids: [u32; IDS],
}

const EMPTY: Slot = Slot { word: [0; WORD], length: 0, count: 0, ids: [0; IDS] };

/// Short words and their ids. Each has one place, which it takes from the word that was there.
pub(super) struct WordCache {
    slots: Vec<Slot>,
}

impl WordCache {
    fn new() -> Self {
        Self { slots: vec![EMPTY; SLOTS] }
    }

    fn place(word: &[u8]) -> usize {
        xxh3_64(word) as usize % SLOTS
    }

    /// The ids of a word, if it is there.
    pub(super) fn get(&self, word: &[u8]) -> Option<&[u32]> {
        if word.len() > WORD {
            return None;
        }
        let slot = &self.slots[Self::place(word)];
        let is_it = &slot.word[..usize::from(slot.length)] == word;
        (is_it && slot.length > 0).then(|| &slot.ids[..usize::from(slot.count)])
    }

    /// Keeps a word, if it is short.
    pub(super) fn put(&mut self, word: &[u8], ids: &[u32]) {
        if word.len() > WORD || ids.len() > IDS {
            return;
        }
        let slot = &mut self.slots[Self::place(word)];
        slot.word[..word.len()].copy_from_slice(word);
        slot.ids[..ids.len()].copy_from_slice(ids);
        (slot.length, slot.count) = (word.len() as u8, ids.len() as u8);
    }
}

/// What a thread needs while it encodes a text, and what it has learned from earlier ones.
pub(super) struct Workspace {
    pub(super) cache: WordCache,
    /// Room for [`Merges::apply`](super::merge::Merges::apply).
    pub(super) ranks: Vec<u32>,
}

/// The workspaces of a tokenizer that no thread uses at the moment: at most as many as threads have encoded at once.
#[derive(Default)]
pub(super) struct Workspaces(Mutex<Vec<Workspace>>);

impl Workspaces {
    /// Lends a workspace.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = free().pop();
        let mut workspace =
            lent.unwrap_or_else(|| Workspace { cache: WordCache::new(), ranks: Vec::new() });
        let result = work(&mut workspace);
        free().push(workspace);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_until_another_takes_its_place() {
        let mut cache = WordCache::new();
        let words: Vec<String> = (0..50_000).map(|i| format!("word {i}")).collect();
        for (i, word) in (0..).zip(&words) {
            assert_eq!(cache.get(word.as_bytes()), None);
            cache.put(word.as_bytes(), &[i, i + 1]);
            assert_eq!(cache.get(word.as_bytes()), Some(&[i, i + 1][..]));
        }
        let found =
            (0..).zip(&words).filter_map(|(i, word)| Some((i, cache.get(word.as_bytes())?)));
        let found: Vec<(u32, &[u32])> = found.collect();
        assert!(found.len() > SLOTS / 2 && found.len() <= SLOTS, "{}", found.len());
        assert!(found.iter().all(|(i, ids)| ids == &[*i, i + 1]));
    }

    #[test]
    fn long_words_and_words_of_many_ids_are_not_kept() {
        let mut cache = WordCache::new();
        cache.put(&[b'a'; WORD + 1], &[1]);
        cache.put(b"b", &[1; IDS + 1]);
        cache.put(&[b'c'; WORD], &[1; IDS]);
        assert_eq!(cache.get(&[b'a'; WORD + 1]), None);
        assert_eq!(cache.get(b"b"), None);
        assert_eq!(cache.get(&[b'c'; WORD]), Some(&[1; IDS][..]));
        assert_eq!(cache.get(b""), None);
    }

    #[test]
    fn a_workspace_is_lent_to_one_thread_at_a_time() {
        let spaces = Workspaces::default();
        spaces.with(|outer| {
            outer.cache.put(b"a", &[1]);
            spaces.with(|inner| assert_eq!(inner.cache.get(b"a"), None));
        });
        spaces.with(|last| assert_eq!(last.cache.get(b"a"), Some(&[1][..])));
        assert_eq!(spaces.0.lock().unwrap().len(), 2);
    }
}
