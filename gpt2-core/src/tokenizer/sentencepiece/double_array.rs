//! The double array of Darts-clone, as a `precompiled_charsmap` holds it and as vocabularies are put into here.
//!
//! A unit is 32 bits: a label with the way to the unit's children, or (first bit set) a value. A child's place is the
//! way of its parent with the child's byte added modulo 2, and its label has to be that byte.

use yada::builder::DoubleArrayBuilder;

/// A unit that holds a value and no label.
const VALUE: u32 = 1 << 31;
/// A unit whose first child is a value.
const HAS_VALUE: u32 = 1 << 8;
/// Keys nest as deep as they are long, and the builder calls itself for every byte.
const BUILDER_STACK: usize = 64 << 20;

/// A set of byte strings, each with a number.
#[derive(Debug, Clone, Default)]
pub(in crate::tokenizer) struct DoubleArray {
    units: Vec<u32>,
}

/// Where a walk from the root has come to.
#[derive(Debug, Clone, Copy)]
pub(in crate::tokenizer) struct Place {
    /// Where the children are, before their bytes are added.
    children: u32,
    has_value: bool,
}

impl DoubleArray {
    /// Builds the set of keys that are sorted, different, not empty and without zero bytes.
    ///
    /// # Errors
    /// The builder's reason; none for such keys.
    pub(in crate::tokenizer) fn build(keys: &[(&[u8], u32)]) -> Result<Self, String> {
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let built = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(BUILDER_STACK);
            let thread = builder.spawn_scoped(scope, || DoubleArrayBuilder::build(keys));
            let thread = thread.map_err(|e| format!("no thread to build a trie in: {e}"))?;
            let joined = thread.join().map_err(|_| "the trie cannot be built".to_string())?;
            joined.map_err(|e| e.to_string())
        })?;
        Ok(Self { units: units(&built) })
    }

    /// Reads units as a file has them. `limit` is what every value has to stay below.
    ///
    /// # Errors
    /// What is wrong: a walk could leave the array, or reach no value where one is announced.
    pub(in crate::tokenizer) fn from_bytes(bytes: &[u8], limit: usize) -> Result<Self, String> {
        let array = Self { units: units(bytes) };
        let size = array.units.len();
        for (at, &unit) in array.units.iter().enumerate() {
            if unit & VALUE != 0 {
                let value = (unit & !VALUE) as usize;
                if at == 0 || value >= limit {
                    return Err(format!(
                        "unit {at} has the value {value}, expected less than {limit}"
                    ));
                }
                continue;
            }
            let children = at ^ offset(unit) as usize;
            let block = children | 0xFF;
            let value_is_missing = unit & HAS_VALUE != 0
                && array.units.get(children).is_none_or(|child| child & VALUE == 0);
            if block >= size || value_is_missing {
                return Err(format!("unit {at} of {size} leads nowhere"));
            }
        }
        let root = array.units.first().copied().unwrap_or(HAS_VALUE);
        if root & (HAS_VALUE | 0xFF) != 0 || offset(root) == 0 {
            return Err("the first unit is no root".to_string());
        }
        Ok(array)
    }

    /// Gives every key another number.
    pub(in crate::tokenizer) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        for unit in self.units.iter_mut().filter(|unit| **unit & VALUE != 0) {
            *unit = VALUE | number(*unit & !VALUE);
        }
    }

    /// Every value.
    pub(in crate::tokenizer) fn values(&self) -> impl Iterator<Item = u32> {
        self.units.iter().filter(|unit| **unit & VALUE != 0).map(|unit| unit & !VALUE)
    }

    /// Before the first byte.
    pub(in crate::tokenizer) fn root(&self) -> Place {
        let unit = self.units.first().copied().unwrap_or_default();
        Place { children: offset(unit), has_value: false }
    }

    /// One byte further, if a key goes on like that. No key has a zero byte.
    #[inline]
    pub(in crate::tokenizer) fn step(&self, place: Place, byte: u8) -> Option<Place> {
        let at = place.children ^ u32::from(byte);
        let unit = *self.units.get(at as usize)?;
        let is_child = unit & (VALUE | 0xFF) == u32::from(byte) && byte != 0;
        is_child.then_some(Place { children: at ^ offset(unit), has_value: unit & HAS_VALUE != 0 })
    }

    /// The number of the key that ends here.
    #[inline]
    pub(in crate::tokenizer) fn value(&self, place: Place) -> Option<u32> {
        if !place.has_value {
            return None;
        }
        self.units.get(place.children as usize).map(|unit| unit & !VALUE)
    }

    /// The number of a key.
    pub(in crate::tokenizer) fn get(&self, key: &[u8]) -> Option<u32> {
        let end = key.iter().try_fold(self.root(), |place, &byte| self.step(place, byte))?;
        self.value(end)
    }

    /// The longest of the first `most` keys that a text begins with: its length and number.
    pub(in crate::tokenizer) fn longest_prefix(
        &self,
        text: &[u8],
        most: usize,
    ) -> Option<(usize, u32)> {
        let (mut place, mut found, mut count) = (self.root(), None, 0);
        for (at, &byte) in text.iter().enumerate() {
            let Some(next) = self.step(place, byte) else { break };
            place = next;
            if let Some(value) = self.value(place) {
                found = Some((at + 1, value));
                count += 1;
                if count == most {
                    break;
                }
            }
        }
        found
    }

    /// The bytes that keys begin with.
    pub(in crate::tokenizer) fn first_bytes(&self) -> impl Iterator<Item = u8> {
        (0..=255).filter(|byte| self.step(self.root(), *byte).is_some())
    }
}

fn units(bytes: &[u8]) -> Vec<u32> {
    let (units, _) = bytes.as_chunks::<4>();
    units.iter().map(|unit| u32::from_le_bytes(*unit)).collect()
}

/// From a unit to its children; a far way is a multiple of 256.
#[inline]
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(keys: &[&str]) -> DoubleArray {
        let keys: Vec<_> = keys.iter().zip(0..).map(|(key, i)| (key.as_bytes(), i)).collect();
        DoubleArray::build(&keys).unwrap()
    }

    #[test]
    fn every_key_is_found_and_nothing_else() {
        let keys = ["a", "ab", "abcd", "b", "日", "日本"];
        let array = array(&keys);
        for (key, i) in keys.iter().zip(0..) {
            assert_eq!(array.get(key.as_bytes()), Some(i));
        }
        for other in ["", "abc", "\0", "a\0", "日本語", "c", "\u{65E6}"] {
            assert_eq!(array.get(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(array.longest_prefix("abcx".as_bytes(), 9), Some((2, 1)));
        assert_eq!(array.longest_prefix("abcd".as_bytes(), 2), Some((2, 1)));
        assert_eq!(array.first_bytes().collect::<Vec<_>>(), [b'a', b'b', 0xE6]);
    }

    #[test]
    fn a_set_without_keys_finds_nothing() {
        let array = array(&[]);
        assert_eq!(array.longest_prefix(b"\0a\0", 1), None);
        assert_eq!(array.get(b""), None);
    }

    #[test]
    fn a_key_of_many_bytes_needs_no_deep_stack() {
        let long = "x".repeat(7999);
        assert_eq!(array(&[&long]).get(long.as_bytes()), Some(0));
    }

    #[test]
    fn units_that_lead_out_of_the_array_are_refused() {
        let bytes = |units: &[u32]| units.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<_>>();
        let mut good = vec![0u32; 512];
        good[0] = 1 << 10;
        assert!(DoubleArray::from_bytes(&bytes(&good), 1).is_ok());
        for (at, unit, words) in [
            (0, 0, "no root"),
            (0, VALUE, "unit 0"),
            (7, 600 << 10, "unit 7 of 512 leads nowhere"),
            (7, HAS_VALUE, "unit 7 of 512 leads nowhere"),
            (7, VALUE | 5, "the value 5"),
        ] {
            let mut bad = good.clone();
            bad[at] = unit;
            let error = DoubleArray::from_bytes(&bytes(&bad), 1).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(DoubleArray::from_bytes(&[], 1).is_err());
    }
}
