//! Causal attention of many tokens, forwards and backwards, without a matrix of all scores;
//! [`decode`] is for a few tokens that follow a long text.
//!
//! A head goes through its queries in strips of a few rows. The scores of a strip with all keys that it sees fit the
//! cache; what is kept of them for the way back is the logarithm of the sum of their
//! exponentials, one number a row, from which the probabilities are computed again (Dao et al. 2022,
//! section 3.1 and appendix B).

mod backward;
pub(super) mod cached;
pub(super) mod decode;
mod forward;
mod packed;
mod panels;
mod products;
mod softmax;
#[cfg(test)]
mod tests;

pub(in crate::ops) use packed::Packed;
use softmax::Dropout;

/// Queries of a strip.
const STRIP: usize = 48;

/// Rows of one head: a row every `stride` numbers, from `first` on.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    pub values: &'a [f32],
    pub first: usize,
    pub stride: usize,
    pub head_dim: usize,
    pub len: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, row: usize) -> &'a [f32] {
        &self.values[self.first + row * self.stride..][..self.head_dim]
    }
}

/// What one head attends from and to.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    pub query: Rows<'a>,
    pub key: Rows<'a>,
    pub value: Rows<'a>,
    /// Keys that the first query sees beside its own.
    pub past: usize,
    /// Factor on the scores.
    pub factor: f32,
    pub dropout: Option<Dropout>,
}

impl Head<'_> {
    /// How many keys a query sees.
    #[inline(always)]
    fn sees(&self, query: usize) -> usize {
        (self.past + query + 1).min(self.key.len)
    }
}
