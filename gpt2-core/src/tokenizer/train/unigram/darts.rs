//! Writing a set of byte strings with numbers as a double array of Darts-clone.
//!
//! What several keys end in is stored once, as Darts-clone does: the rules of NFKC, most of which are spellings of the
//! same Korean syllables, take a tenth of the room that a double array without that needs, such as the `yada` crate makes.
//!
//! A unit is 32 bits: a label with the way to the unit's children, or (first bit set) a value. A child lies where the
//! children of its parent begin, with its label added modulo 2; a value is a child with the label 0.

use std::collections::{HashMap, HashSet};

use crate::{Error, Result};

/// Units come in blocks of so many.
const BLOCK: usize = 256;
/// A unit that holds a value and no label.
const VALUE: u32 = 1 << 31;
/// A unit whose first child is a value.
const HAS_VALUE: u32 = 1 << 8;
/// Where a unit holds the way to its children.
const WAY_SHIFT: u32 = 10;
/// One past the longest way that is written here.
const WAYS: usize = 1 << 21;

/// What may follow in a key: values (label 0) and other nodes.
type Node = Vec<(u8, u32)>;

/// The units of sorted, different keys without zero bytes, as bytes.
///
/// # Errors
/// [`Error::Tokenizer`] for more keys than fit into such units.
pub(super) fn double_array(keys: &[(String, u32)]) -> Result<Vec<u8>> {
    let mut nodes = Nodes::default();
    let keys: Vec<(&[u8], u32)> =
        keys.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
    let root = nodes.node(&keys, 0);
    let mut units = Units::default();
    units.reserve(0);
    let places: Vec<usize> = nodes.list.iter().map(|node| units.place(node)).collect();
    let way = |from: usize, node: u32| (from ^ places[node as usize]) as u32;
    let has_value = |node: u32| nodes.list[node as usize].first().is_some_and(|child| child.0 == 0);
    let unit = |from: usize, label: u8, node: u32| {
        let value = if has_value(node) { HAS_VALUE } else { 0 };
        u32::from(label) | value | way(from, node) << WAY_SHIFT
    };
    if units.taken.len() > WAYS {
        let reason =
            format!("{} units of a double array, expected at most {WAYS}", units.taken.len());
        return Err(Error::Tokenizer { path: None, reason });
    }
    let mut written = vec![0; units.taken.len()];
    written[0] = unit(0, 0, root);
    for (node, &place) in nodes.list.iter().zip(&places) {
        for &(label, child) in node {
            let at = place ^ usize::from(label);
            written[at] = if label == 0 { VALUE | child } else { unit(at, label, child) };
        }
    }
    Ok(written.into_iter().flat_map(u32::to_le_bytes).collect())
}

/// Different nodes, each once.
#[derive(Default)]
struct Nodes {
    list: Vec<Node>,
    places: HashMap<Node, u32>,
}

impl Nodes {
    /// The node of keys that begin with the same `depth` bytes.
    fn node(&mut self, keys: &[(&[u8], u32)], depth: usize) -> u32 {
        let label = |key: &(&[u8], u32)| key.0.get(depth).copied().unwrap_or(0);
        let groups: Vec<&[(&[u8], u32)]> = keys.chunk_by(|a, b| label(a) == label(b)).collect();
        let mut node = Node::with_capacity(groups.len());
        for group in groups {
            node.push(match label(&group[0]) {
                0 => (0, group[0].1),
                label => (label, self.node(group, depth + 1)),
            });
        }
        let next = self.list.len() as u32;
        *self.places.entry(node).or_insert_with_key(|node| {
            self.list.push(node.clone());
            next
        })
    }
}

/// Which units are taken.
#[derive(Default)]
struct Units {
    taken: Vec<bool>,
    /// Beginnings of children that are in use: two nodes with the same would be one.
    beginnings: HashSet<usize>,
    /// No unit before this one is free.
    first_free: usize,
}

impl Units {
    /// Finds room for the children of a node, and says where they begin.
    fn place(&mut self, node: &Node) -> usize {
        let first = usize::from(node.first().map_or(0, |child| child.0));
        let mut candidate = self.first_free;
        loop {
            let beginning = candidate ^ first;
            let is_free = |&(label, _): &(u8, u32)| {
                self.taken.get(beginning ^ usize::from(label)).is_none_or(|taken| !taken)
            };
            // The root is at 0, and no node may seem to begin there.
            if beginning != 0 && node.iter().all(is_free) && !self.beginnings.contains(&beginning) {
                node.iter().for_each(|&(label, _)| self.reserve(beginning ^ usize::from(label)));
                self.beginnings.insert(beginning);
                return beginning;
            }
            candidate += 1;
        }
    }

    fn reserve(&mut self, unit: usize) {
        while self.taken.len() <= unit {
            self.taken.resize(self.taken.len() + BLOCK, false);
        }
        self.taken[unit] = true;
        while self.taken.get(self.first_free) == Some(&true) {
            self.first_free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of a key, found as Darts-clone does.
    fn get(bytes: &[u8], key: &[u8]) -> Option<u32> {
        let units: Vec<u32> =
            bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let children = |place: usize| place ^ (units[place] >> WAY_SHIFT) as usize;
        let mut place = 0;
        for &byte in key {
            place = children(place) ^ usize::from(byte);
            if units.get(place)? & (VALUE | 0xFF) != u32::from(byte) {
                return None;
            }
        }
        (units[place] & HAS_VALUE != 0).then(|| units[children(place)] & !VALUE)
    }

    #[test]
    fn every_key_is_found_and_nothing_else() {
        let mut keys: Vec<(String, u32)> = Vec::new();
        for first in ["", "\u{1}", "a", "日", "ÿ"] {
            for last in ["x", "xy", "本", "\u{10FFFF}"] {
                keys.push((format!("{first}{last}"), keys.len() as u32 % 7));
            }
        }
        keys.sort();
        let bytes = double_array(&keys).unwrap();
        assert_eq!(bytes.len() % (BLOCK * 4), 0);
        for (key, value) in &keys {
            assert_eq!(get(&bytes, key.as_bytes()), Some(*value), "{key:?}");
        }
        for other in ["", "a", "axz", "日日", "y"] {
            assert_eq!(get(&bytes, other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn common_endings_are_stored_once() {
        let key = |first: u32| char::from_u32(0x4E00 + first).map(|c| format!("{c}の終わり"));
        let keys: Vec<(String, u32)> = (0..64).filter_map(key).map(|key| (key, 5)).collect();
        let units = double_array(&keys).unwrap().len() / 4;
        assert!(units <= 512, "{units}");
    }
}
