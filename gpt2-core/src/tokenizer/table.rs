//! The bytes that ids stand for.

use super::bytes::unspell;

/// The bytes of every token, one after another, for decoding without a look at strings.
pub(super) struct TokenTable {
    bytes: Vec<u8>,
    /// Where the bytes of a token end; they start where those of the id before it end.
    ends: Vec<usize>,
    /// In ascending order.
    special: Vec<u32>,
}

impl TokenTable {
    /// A table up to the id `last`, of tokens as the vocabulary spells them.
    pub(super) fn new(
        last: u32,
        token: impl Fn(u32) -> Option<String>,
        special: impl Iterator<Item = u32>,
    ) -> Self {
        let mut table = Self { bytes: Vec::new(), ends: Vec::new(), special: special.collect() };
        for id in 0..=last {
            if let Some(token) = token(id) {
                unspell(&token, &mut table.bytes);
            }
            table.ends.push(table.bytes.len());
        }
        table.special.sort_unstable();
        table
    }

    /// The bytes of a token; none for an id that is no token's.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    pub(super) fn special(&self) -> &[u32] {
        &self.special
    }

    pub(super) fn max_id(&self) -> u32 {
        self.ends.len().saturating_sub(1) as u32
    }
}
