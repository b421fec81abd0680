//! The pieces of a vocabulary, found from any place of a text byte by byte.

/// No parent, no value.
const NONE: u32 = u32::MAX;
/// A set bit beside a node's base: a key ends here.
const HAS_VALUE: u32 = 1 << 31;
/// Bytes of a key decide on the last eight bits of a place.
const BLOCK: usize = 256;
/// So many free places are tried for a node with several children before there are new ones.
const TRIES: usize = 128;

/// A set of byte strings, each with a number: a double array. The child of a node stands at the node's base with the
/// child's byte added modulo 2, and knows its parent.
#[derive(Debug, Clone, Default)]
pub(in crate::tokenizer) struct Trie {
    nodes: Vec<Node>,
    /// By node; of use where the node has a value.
    values: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// With [`HAS_VALUE`].
    base: u32,
    parent: u32,
}

impl Trie {
    /// The set of keys that are sorted and different, and whose bytes are fewer than 2^30.
    pub(in crate::tokenizer) fn new(keys: &[(&[u8], u32)]) -> Self {
        if keys.is_empty() {
            return Self::default();
        }
        let mut builder = Builder::default();
        builder.grow();
        builder.take(0, NONE);
        // Node, how many bytes lead to it, and the keys that begin with these.
        let mut rest = vec![(0, 0, keys)];
        while let Some((node, depth, keys)) = rest.pop() {
            let keys = match keys {
                [(key, value), longer @ ..] if key.len() == depth => {
                    builder.set_value(node, *value);
                    longer
                }
                all => all,
            };
            let children: Vec<_> =
                keys.chunk_by(|(a, _), (b, _)| a.get(depth) == b.get(depth)).collect();
            let bytes: Vec<u8> =
                children.iter().filter_map(|keys| keys.first()?.0.get(depth)).copied().collect();
            let base = builder.place(&bytes);
            builder.trie.nodes[node as usize].base |= base;
            for (byte, keys) in bytes.iter().zip(children) {
                let child = base ^ u32::from(*byte);
                builder.take(child, node);
                rest.push((child, depth + 1, keys));
            }
        }
        builder.trie
    }

    /// Gives every key another number.
    pub(in crate::tokenizer) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        let ends = self.nodes.iter().map(|node| node.base & HAS_VALUE != 0);
        for (value, _) in self.values.iter_mut().zip(ends).filter(|(_, ends)| *ends) {
            *value = number(*value);
        }
    }

    /// The keys that a text begins with, shorter ones first: length and number.
    #[inline]
    pub(in crate::tokenizer) fn prefixes<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = (usize, u32)> + 't {
        let mut node = 0_u32;
        let mut base = self.nodes.first().map_or(0, |root| root.base & !HAS_VALUE);
        let path = text.iter().map_while(move |&byte| {
            let child = base ^ u32::from(byte);
            let found = self.nodes.get(child as usize).filter(|found| found.parent == node)?;
            (node, base) = (child, found.base & !HAS_VALUE);
            Some((child, found.base & HAS_VALUE != 0))
        });
        let ends = path.zip(1..).filter(|((_, ends), _)| *ends);
        ends.filter_map(|((node, _), length)| Some((length, *self.values.get(node as usize)?)))
    }

    /// The number of a key.
    pub(in crate::tokenizer) fn get(&self, key: &[u8]) -> Option<u32> {
        let longest = self.prefixes(key).last();
        longest.filter(|(length, _)| *length == key.len()).map(|(_, value)| value)
    }

    /// Whether a key begins with a byte.
    pub(in crate::tokenizer) fn begins_with(&self, byte: u8) -> bool {
        let Some(root) = self.nodes.first() else { return false };
        let child = (root.base & !HAS_VALUE) ^ u32::from(byte);
        self.nodes.get(child as usize).is_some_and(|child| child.parent == 0)
    }
}

/// A trie, and which of its places are free: a list in both directions, in ascending order.
#[derive(Default)]
struct Builder {
    trie: Trie,
    after: Vec<u32>,
    before: Vec<u32>,
    first: Option<u32>,
    last: Option<u32>,
}

impl Builder {
    /// Adds a block of free places.
    fn grow(&mut self) {
        let start = self.trie.nodes.len() as u32;
        for place in start..start + BLOCK as u32 {
            self.trie.nodes.push(Node { base: 0, parent: NONE });
            self.trie.values.push(NONE);
            self.before.push(self.last.unwrap_or(NONE));
            self.after.push(NONE);
            match self.last.replace(place) {
                Some(last) => self.after[last as usize] = place,
                None => self.first = Some(place),
            }
        }
    }

    fn is_free(&self, place: u32) -> bool {
        let at = place as usize;
        let linked = self.after[at] != NONE || self.before[at] != NONE;
        linked || self.first == Some(place)
    }

    /// Puts a node at a free place.
    fn take(&mut self, place: u32, parent: u32) {
        let at = place as usize;
        let some = |place: u32| (place != NONE).then_some(place);
        let (before, after) = (some(self.before[at]), some(self.after[at]));
        match before {
            Some(before) => self.after[before as usize] = self.after[at],
            None => self.first = after,
        }
        match after {
            Some(after) => self.before[after as usize] = self.before[at],
            None => self.last = before,
        }
        (self.before[at], self.after[at]) = (NONE, NONE);
        self.trie.nodes[at].parent = parent;
    }

    fn set_value(&mut self, node: u32, value: u32) {
        self.trie.nodes[node as usize].base |= HAS_VALUE;
        self.trie.values[node as usize] = value;
    }

    /// A base whose children with these bytes are all free.
    fn place(&mut self, bytes: &[u8]) -> u32 {
        let Some((&byte, others)) = bytes.split_first() else { return 0 };
        if others.is_empty() {
            if self.first.is_none() {
                self.grow();
            }
            // One child fits anywhere, so it fills the first gap.
            return self.first.unwrap_or_default() ^ u32::from(byte);
        }
        let mut place = self.last;
        for _ in 0..TRIES {
            let Some(free) = place else { break };
            let base = free ^ u32::from(byte);
            if others.iter().all(|other| self.is_free(base ^ u32::from(*other))) {
                return base;
            }
            place = Some(self.before[free as usize]).filter(|before| *before != NONE);
        }
        self.grow();
        (self.trie.nodes.len() - BLOCK) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trie(keys: &[&[u8]]) -> Trie {
        Trie::new(&keys.iter().copied().zip(0..).collect::<Vec<_>>())
    }

    #[test]
    fn every_key_is_found_and_nothing_else() {
        let keys: [&[u8]; 7] =
            [b"\0", b"a", b"ab", b"abcd", b"b", "日".as_bytes(), "日本".as_bytes()];
        let trie = trie(&keys);
        for (key, i) in keys.iter().zip(0..) {
            assert_eq!(trie.get(key), Some(i));
        }
        for other in ["", "abc", "\0\0", "a\0", "日本語", "c", "\u{65E6}"] {
            assert_eq!(trie.get(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(trie.prefixes(b"abcdx").collect::<Vec<_>>(), [(1, 1), (2, 2), (4, 3)]);
        let first: Vec<u8> = (0..=255).filter(|byte| trie.begins_with(*byte)).collect();
        assert_eq!(first, [0, b'a', b'b', 0xE6]);
    }

    #[test]
    fn a_set_without_keys_finds_nothing() {
        assert_eq!(trie(&[]).prefixes(b"\0a\0").count(), 0);
        assert!(!trie(&[]).begins_with(0));
    }

    #[test]
    fn a_long_key_needs_no_deep_stack() {
        let long = [b'x'; 100_000];
        assert_eq!(trie(&[&long]).get(&long), Some(0));
    }

    #[test]
    fn keys_with_any_bytes_are_kept_apart() {
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for bytes in [2, 5, 256] {
            let mut keys: Vec<Vec<u8>> = (0..20_000)
                .map(|_| (0..1 + random(6)).map(|_| random(bytes) as u8).collect())
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let (kept, left_out): (Vec<_>, Vec<_>) =
                keys.iter().zip(0..).partition(|(_, i)| i % 3 > 0);
            let list: Vec<(&[u8], u32)> = kept.iter().map(|(k, i)| (k.as_slice(), *i)).collect();
            let trie = Trie::new(&list);
            assert!(kept.iter().all(|(key, i)| trie.get(key) == Some(*i)), "{bytes}");
            assert!(left_out.iter().all(|(key, _)| trie.get(key).is_none()), "{bytes}");
            let nodes = list.iter().map(|(key, _)| key.len()).sum::<usize>();
            assert!(trie.nodes.len() < 2 * nodes + BLOCK, "{bytes}: {}", trie.nodes.len());
        }
    }
}
