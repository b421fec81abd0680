//! Reads sequences with the model: scores of each one's next token.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
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
    /// For each sequence of the cache, the number of its row.
    rows: Vec<usize>,
    /// For each sequence of the cache, the padding in front of it.
    padding: Vec<usize>,
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
            Some(read) if read.cache.len() < read.cache.capacity() => {
                read.one_more(self.model, rows, &live, &self.device)
            }
            // Finished rows and their padding may have taken up the room: read the others again.
            _ => self.whole(rows, &live)?,
        };
        Ok(self.model.head(hidden).try_into_vec_as::<f32>().map_err(CoreError::compute)?)
    }

    /// Reads the live rows from their start; `[live, embd]`.
    fn whole(&mut self, rows: &[Row], live: &[usize]) -> Result<Tensor<2>> {
        let texts: Vec<Vec<u32>> = live.iter().map(|&row| rows[row].ids.clone()).collect();
        let config = self.model.config();
        let batch = Gpt2Batch::left_padded(&texts, config, &self.device)?;
        if !self.use_cache {
            return Ok(last_position(self.model.hidden(&batch)));
        }
        let width = texts.iter().map(Vec::len).max().unwrap_or_default();
        let missing = live.iter().map(|&row| rows[row].lengths.end - rows[row].ids.len()).max();
        // The last token of a row is not read any more.
        let capacity = (width + missing.unwrap_or_default()).saturating_sub(1);
        let capacity = capacity.clamp(width, config.n_positions.max(width));
        let mut cache = KvCache::new(config, live.len(), capacity, &self.device)?;
        let hidden = self.model.hidden_cached(&batch, &mut cache);
        let padding = texts.iter().map(|ids| width - ids.len()).collect();
        self.read = Some(ReadRows { cache, rows: live.to_vec(), padding });
        Ok(last_position(hidden))
    }
}

impl ReadRows {
    /// Reads the last token of every row; `[live, embd]`.
    fn one_more(
        &mut self,
        model: &Gpt2,
        rows: &[Row],
        live: &[usize],
        device: &Device,
    ) -> Tensor<2> {
        // A finished row keeps its place and reads anything: no other row sees it.
        let ids = self.rows.iter().map(|&row| match rows[row].is_live() {
            true => rows[row].ids.last().map_or(0, |&id| id as i32),
            false => 0,
        });
        let batch = self.batch(ids.collect(), device);
        let hidden = last_position(model.hidden_cached(&batch, &mut self.cache));
        if live.len() == self.rows.len() {
            return hidden;
        }
        let places = (0..self.rows.len()).filter(|&place| rows[self.rows[place]].is_live());
        let places: Vec<i32> = places.map(|place| place as i32).collect();
        let count = places.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), device);
        hidden.select(0, places)
    }

    /// One token for each sequence of the cache, with mask and positions where there is padding.
    fn batch(&self, ids: Vec<i32>, device: &Device) -> Gpt2Batch {
        let (count, past) = (ids.len(), self.cache.len());
        let input_ids = Tensor::from_data(TensorData::new(ids, [count, 1]), device);
        if self.padding.iter().all(|&padding| padding == 0) {
            return Gpt2Batch::from_tensor(input_ids);
        }
        let visible = |&padding: &usize| (0..=past).map(move |at| at >= padding);
        let mask: Vec<bool> = self.padding.iter().flat_map(visible).collect();
        let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask, [count, past + 1]), device);
        let positions: Vec<i32> =
            self.padding.iter().map(|&padding| (past - padding) as i32).collect();
        let positions = Tensor::from_data(TensorData::new(positions, [count, 1]), device);
        Gpt2Batch {
            attention_mask: Some(mask),
            position_ids: Some(positions),
            ..Gpt2Batch::from_tensor(input_ids)
        }
    }
}

/// `[batch, seq, embd]` to `[batch, embd]`.
fn last_position(hidden: Tensor<3>) -> Tensor<2> {
    let [batch, seq, embd] = hidden.dims();
    hidden.narrow(1, seq - 1, 1).reshape([batch, embd])
}
