//! The merges of byte-level BPE, applied to one word.
//!
//! Of all neighbours that can be merged those of the lowest rank are, the leftmost of them first, until none can: the
//! loop of Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), as GPT-2's own encoder
//! runs it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rustc_hash::FxBuildHasher;

/// The rank of two tokens that are not merged.
const NEVER: u32 = u32::MAX;

/// The id of a symbol that is part of the one before it.
const GONE: u32 = u32::MAX;

/// The end of a list of symbols.
const END: usize = usize::MAX;

/// Up to so many tokens the best pair is looked for among all of them, which is faster than a heap.
const FEW: usize = 128;

/// Pairs of tokens, and what they become.
pub(super) struct Merges {
    /// The rank of a pair, both ids in one number.
    ranks: HashMap<u64, u32, FxBuildHasher>,
    /// The token that a pair of this rank becomes.
    results: Vec<u32>,
}

impl Merges {
    /// Merges in their order, each as two ids and the id that they become. Of a pair that occurs twice the later place
    /// counts, as in the `tokenizers` library.
    pub(super) fn new(merges: impl Iterator<Item = (u32, u32, u32)>) -> Self {
        let (mut ranks, mut results) = (HashMap::default(), Vec::new());
        for (rank, (left, right, result)) in (0..NEVER).zip(merges) {
            ranks.insert(pair(left, right), rank);
            results.push(result);
        }
        Self { ranks, results }
    }

    fn rank(&self, left: u32, right: u32) -> u32 {
        self.ranks.get(&pair(left, right)).copied().unwrap_or(NEVER)
    }

    /// Merges `ids[start..]`, the bytes of a word; `ranks` is room to work in.
    ///
    /// The time is in proportion to the length of the word, but for the logarithm of a heap.
    pub(super) fn apply(&self, ids: &mut Vec<u32>, start: usize, ranks: &mut Vec<u32>) {
        if ids.len() - start <= FEW {
            self.apply_to_few(ids, start, ranks);
        } else {
            let merged = self.apply_to_many(&ids[start..]);
            ids.truncate(start);
            ids.extend(merged);
        }
    }

    fn apply_to_few(&self, ids: &mut Vec<u32>, start: usize, ranks: &mut Vec<u32>) {
        ranks.clear();
        ranks.extend(ids[start..].windows(2).map(|pair| self.rank(pair[0], pair[1])));
        while let Some(best) = ranks.iter().copied().min().filter(|rank| *rank != NEVER) {
            let Some(place) = ranks.iter().position(|rank| *rank == best) else { break };
            let at = start + place;
            ids[at] = self.results[best as usize];
            ids.remove(at + 1);
            ranks.remove(place);
            if let Some(rank) = ranks.get_mut(place) {
                *rank = self.rank(ids[at], ids[at + 1]);
            }
            if place > 0 {
                ranks[place - 1] = self.rank(ids[at - 1], ids[at]);
            }
        }
    }

    fn apply_to_many(&self, ids: &[u32]) -> Vec<u32> {
        let mut symbols = Symbols::new(self, ids);
        // An entry whose rank is no longer that of its place is of a pair that is gone.
        while let Some((rank, at)) = symbols.queue.pop() {
            if symbols.list[at].rank == rank {
                symbols.merge(self, at, self.results[rank as usize]);
            }
        }
        symbols.list.iter().map(|symbol| symbol.id).filter(|id| *id != GONE).collect()
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// A token of a long word, in a list that is linked both ways.
struct Symbol {
    id: u32,
    /// Rank of this token with the next one.
    rank: u32,
    before: usize,
    next: usize,
}

/// Pairs in the order in which they are merged, by rank and place.
///
/// Places of one rank have a heap of their own: one of all pairs would be too large for the processor's cache.
#[derive(Default)]
struct Queue {
    ranks: BinaryHeap<Reverse<u32>>,
    places: HashMap<u32, BinaryHeap<Reverse<usize>>, FxBuildHasher>,
}

impl Queue {
    fn push(&mut self, rank: u32, place: usize) {
        let places = self.places.entry(rank).or_default();
        if places.is_empty() {
            self.ranks.push(Reverse(rank));
        }
        places.push(Reverse(place));
    }

    fn pop(&mut self) -> Option<(u32, usize)> {
        let Reverse(rank) = *self.ranks.peek()?;
        let places = self.places.get_mut(&rank)?;
        let Reverse(place) = places.pop()?;
        if places.is_empty() {
            self.ranks.pop();
        }
        Some((rank, place))
    }
}

/// The tokens of a long word, and pairs of them.
struct Symbols {
    list: Vec<Symbol>,
    queue: Queue,
}

impl Symbols {
    fn new(merges: &Merges, ids: &[u32]) -> Self {
        let symbol = |(at, &id): (usize, &u32)| {
            let right = ids.get(at + 1);
            Symbol {
                id,
                rank: right.map_or(NEVER, |right| merges.rank(id, *right)),
                before: at.checked_sub(1).unwrap_or(END),
                next: right.map_or(END, |_| at + 1),
            }
        };
        let list: Vec<Symbol> = ids.iter().enumerate().map(symbol).collect();
        let mut queue = Queue::default();
        for (at, symbol) in list.iter().enumerate().filter(|(_, symbol)| symbol.rank != NEVER) {
            queue.push(symbol.rank, at);
        }
        Self { list, queue }
    }

    /// Makes one token of that at a place and the next.
    fn merge(&mut self, merges: &Merges, at: usize, result: u32) {
        let right = self.list[at].next;
        let behind = self.list[right].next;
        self.list[right].id = GONE;
        self.list[right].rank = NEVER;
        self.list[at].id = result;
        self.list[at].next = behind;
        if let Some(symbol) = self.list.get_mut(behind) {
            symbol.before = at;
        }
        self.look_at(merges, at);
        self.look_at(merges, self.list[at].before);
    }

    /// Finds the rank of the pair that begins at a place.
    fn look_at(&mut self, merges: &Merges, at: usize) {
        let Some(&Symbol { id, next, .. }) = self.list.get(at) else { return };
        let rank = self.list.get(next).map_or(NEVER, |right| merges.rank(id, right.id));
        self.list[at].rank = rank;
        if rank != NEVER {
            self.queue.push(rank, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of an alphabet of four as tokens 0 to 3, and merges of tokens drawn from all that there are so far.
    fn random_merges(mut draw: impl FnMut(u32) -> u32) -> Merges {
        let mut known: Vec<(u32, u32)> = Vec::new();
        while known.len() < 40 {
            let tokens = 4 + known.len() as u32;
            let merge = (draw(tokens), draw(tokens));
            if !known.contains(&merge) {
                known.push(merge);
            }
        }
        Merges::new((4..).zip(known).map(|(id, (left, right))| (left, right, id)))
    }

    /// The definition: one merge at a time, each looked for from the beginning.
    fn one_by_one(merges: &Merges, mut ids: Vec<u32>) -> Vec<u32> {
        loop {
            let ranks = ids.windows(2).map(|pair| merges.rank(pair[0], pair[1]));
            let best = ranks.enumerate().min_by_key(|(at, rank)| (*rank, *at));
            let Some((at, rank)) = best.filter(|(_, rank)| *rank != NEVER) else { return ids };
            ids.splice(at..at + 2, [merges.results[rank as usize]]);
        }
    }

    #[test]
    fn both_ways_to_merge_are_the_definition() {
        let mut state = 7_u64;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % u64::from(below)) as u32
        };
        for _ in 0..60 {
            let merges = random_merges(&mut draw);
            for length in [0, 1, 2, 3, 7, 30, 127, 128, 129, 300] {
                let word: Vec<u32> = (0..length).map(|_| draw(4)).collect();
                let expected = one_by_one(&merges, word.clone());
                let mut few = [vec![99], word.clone()].concat();
                merges.apply_to_few(&mut few, 1, &mut Vec::new());
                assert_eq!(few[1..], expected);
                assert_eq!(merges.apply_to_many(&word), expected);
                let mut either = word;
                merges.apply(&mut either, 0, &mut Vec::new());
                assert_eq!(either, expected);
            }
        }
    }

    #[test]
    fn of_a_pair_that_occurs_twice_the_later_place_counts() {
        let merges = Merges::new([(0, 1, 4), (1, 2, 5), (0, 1, 4)].into_iter());
        assert_eq!(one_by_one(&merges, vec![0, 1, 2]), [0, 5]);
    }
}
