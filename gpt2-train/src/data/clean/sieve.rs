//! Which documents are kept.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::near::NearIndex;
use super::report::{DropReason, Place};
use super::{CleanOptions, Dedup, Prepared};

/// Judges documents in their order, and remembers those that were kept.
pub(super) struct Sieve {
    min_characters: usize,
    /// Fingerprints of what was kept.
    exact: Option<HashMap<u128, Place>>,
    near: Option<NearIndex>,
}

impl Sieve {
    pub fn new(options: &CleanOptions) -> Self {
        let near = match &options.dedup {
            Some(Dedup::Near(near)) => Some(NearIndex::new(near)),
            _ => None,
        };
        let exact = options.dedup.is_some().then(HashMap::new);
        Self { min_characters: options.min_characters, exact, near }
    }

    /// Why a document is dropped, if it is, and for a duplicate which one it repeats and how similar the two are.
    pub fn judge(&mut self, document: &Prepared) -> Option<(DropReason, Option<(Place, f64)>)> {
        if document.text.is_empty() {
            return Some((DropReason::Empty, None));
        }
        if document.characters < self.min_characters {
            return Some((DropReason::TooShort, None));
        }
        if let Some(exact) = &mut self.exact {
            if let Some(original) = exact.get(&document.fingerprint) {
                return Some((DropReason::Duplicate, Some((*original, 1.0))));
            }
            if let (Some(near), Some(signature)) = (&mut self.near, &document.signature) {
                if let Some(original) = near.find(signature) {
                    return Some((DropReason::NearDuplicate, Some(original)));
                }
                near.insert(signature, document.place);
            }
            exact.insert(document.fingerprint, document.place);
        }
        None
    }
}

/// A text with single spaces for all white space, as documents are compared.
pub(super) fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// What equal texts have in common, and no others that will ever be met.
pub(super) fn fingerprint(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}
