//! Where the tokens of one pass stand in the texts that they continue.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Gpt2Batch, KvCache};
use crate::ops::{self, AttentionBias};

/// For every row of a batch, the place of its first token and how many of its tokens are real.
#[derive(Debug, Clone)]
pub(super) struct Places {
    starts: Vec<usize>,
    lengths: Vec<usize>,
    /// Tokens of every row with its padding.
    seq: usize,
}

impl Places {
    /// The places behind what `cache` has read.
    ///
    /// # Panics
    /// If the batch does not fit the cache; see [`hidden_cached`](super::Gpt2::hidden_cached).
    pub fn behind(cache: &KvCache, batch: &Gpt2Batch) -> Self {
        let [rows, seq] = batch.input_ids.dims();
        assert!(batch.attention_mask.is_none(), "a cache holds no padding: pad on the right");
        let starts = match cache.rows() {
            0 => vec![0; rows],
            _ => cache.lengths().to_vec(),
        };
        assert_eq!(rows, starts.len(), "the batch must have the cache's number of rows");
        assert!(rows <= cache.max_rows(), "the cache must have room for the rows of the batch");
        let lengths = batch.lengths.clone().unwrap_or_else(|| vec![seq; rows]);
        assert_eq!(rows, lengths.len(), "the batch must have a length for each row");
        assert!(lengths.iter().all(|&length| length <= seq), "lengths must be within the batch");
        assert!(lengths.iter().any(|&length| length > 0), "there must be a token to read");
        let places = Self { starts, lengths, seq };
        assert!(places.width() <= cache.capacity(), "the cache must have room for the tokens");
        places
    }

    /// The places that each row's real tokens take.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.starts.iter().zip(&self.lengths).map(|(&start, &length)| start..start + length)
    }

    /// Tokens of the longest row, the new ones included.
    pub fn width(&self) -> usize {
        self.ranges().map(|range| range.end).max().unwrap_or_default()
    }

    /// The first place, where all rows are equally long so far.
    pub fn common_start(&self) -> Option<usize> {
        let first = *self.starts.first()?;
        self.starts.iter().all(|&start| start == first).then_some(first)
    }

    /// First places without repetition: one where it is the same for all rows.
    fn distinct_starts(&self) -> &[usize] {
        let count = if self.common_start().is_some() { 1 } else { self.starts.len() };
        &self.starts[..count]
    }

    /// Positions of the tokens, `[1 or rows, seq]`.
    ///
    /// Padding may stand behind the last position of all; it is given that one, since any will do.
    pub fn positions(&self, n_positions: usize, device: &Device) -> Tensor<2, Int> {
        let starts = self.distinct_starts();
        let position = |start: usize, at: usize| (start + at).min(n_positions - 1) as i32;
        let positions: Vec<i32> = starts
            .iter()
            .flat_map(|&start| (0..self.seq).map(move |at| position(start, at)))
            .collect();
        Tensor::from_data(TensorData::new(positions, [starts.len(), self.seq]), device)
    }

    /// What hides from every token of `x`, `[rows, seq, embd]`, what stands behind it: a mask, or the places
    /// alone where there is a kernel that takes them for heads of a width.
    pub fn bias(&self, x: &Tensor<3>, head_dim: usize) -> AttentionBias {
        if ops::attends_in_place(x, head_dim) {
            return AttentionBias::by_places();
        }
        AttentionBias::ragged(self.distinct_starts(), self.seq, self.width(), &x.device())
    }
}
