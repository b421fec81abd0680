//! Reads sequences with the model: scores of each one's next token.

use burn::tensor::{Device, Int, Tensor, TensorData};
use gpt2_core::{Error as CoreError, Gpt2, Gpt2Batch, KvCache};

use crate::Result;
use crate::row::Row;

/// Reads a batch of sequences as they grow, each token once where there is a cache.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    model: &'a Gpt2,
    device: Device,
    use_cache: bool,
    read: Option<ReadRows>,
}

/// What was read so far.
#[derive(Debug)]
struct ReadRows {
    cache: KvCache,
    /// For each row of the cache, the number of the sequence's row.
    rows: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub fn new(model: &'a Gpt2, use_cache: bool) -> Self {
        Self { model, device: model.device(), use_cache, read: None }
    }

    /// Scores of the next token of every live row, `[live, vocab]`, one row behind the other.
    ///
    /// Every row must have grown by one token since the last call. Only the last position goes
    /// through the head, and only of live rows.
    ///
    /// # Errors
    /// From the model's batch and cache, or when the device fails.
    pub fn scores(&mut self, rows: &[Row]) -> Result<Vec<f32>> {
        let live: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].is_live()).collect();
        let hidden = match &mut self.read {
            Some(read) => read.one_more(self.model, rows, &live, &self.device)?,
            None => self.whole(rows, &live)?,
        };
        Ok(self.model.head(hidden).try_into_vec_as::<f32>().map_err(CoreError::compute)?)
    }

    /// Reads the live rows from their start; `[live, embd]`.
    fn whole(&mut self, rows: &[Row], live: &[usize]) -> Result<Tensor<2>> {
        let texts: Vec<Vec<u32>> = live.iter().map(|&row| rows[row].ids.clone()).collect();
        let config = self.model.config();
        let batch = Gpt2Batch::right_padded(&texts, config, &self.device)?;
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        if !self.use_cache {
            return Ok(last_positions(self.model.hidden(&batch), &lengths));
        }
        let longest = lengths.iter().copied().max().unwrap_or_default();
        // The last token of a row is not read any more.
        let end = live.iter().map(|&row| rows[row].lengths.end).max().unwrap_or_default();
        let capacity = end.saturating_sub(1).clamp(longest, config.n_positions.max(longest));
        let mut cache = KvCache::new(config, live.len(), capacity, &self.device)?;
        let hidden = self.model.hidden_cached(&batch, &mut cache);
        self.read = Some(ReadRows { cache, rows: live.to_vec() });
        Ok(last_positions(hidden, &lengths))
    }
}

impl ReadRows {
    /// Reads the last token of every live row; `[live, embd]`. Finished rows are dropped.
    fn one_more(
        &mut self,
        model: &Gpt2,
        rows: &[Row],
        live: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>> {
        let places = (0..self.rows.len()).filter(|&place| rows[self.rows[place]].is_live());
        self.cache.select(&places.collect::<Vec<_>>())?;
        self.rows = live.to_vec();
        let last = |&row: &usize| rows[row].ids.last().map_or(0, |&id| id as i32);
        let ids: Vec<i32> = live.iter().map(last).collect();
        let ids = TensorData::new(ids, [live.len(), 1]);
        let batch = Gpt2Batch::from_tensor(Tensor::from_data(ids, device));
        let hidden = model.hidden_cached(&batch, &mut self.cache);
        Ok(last_positions(hidden, &vec![1; live.len()]))
    }
}

/// `[batch, seq, embd]` to `[batch, embd]`, by the last token of each row.
fn last_positions(hidden: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, seq, embd] = hidden.dims();
    let flat = hidden.reshape([batch * seq, embd]);
    if seq == 1 {
        return flat;
    }
    let last = lengths.iter().enumerate().map(|(row, length)| (row * seq + length - 1) as i32);
    let last = TensorData::new(last.collect::<Vec<_>>(), [batch]);
    let last = Tensor::<1, Int>::from_data(last, &flat.device());
    flat.select(0, last)
}
