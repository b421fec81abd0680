//! What goes into a model.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::{Error, Gpt2Config, Result};

/// Token ids of several sequences, with the mask and positions that padding makes necessary.
#[derive(Debug, Clone)]
pub struct Gpt2Batch {
    /// `[batch, seq]`.
    pub input_ids: Tensor<2, Int>,
    /// `[batch, seq]`, true where there is a token; `None` where there is no padding in front.
    pub attention_mask: Option<Tensor<2, Bool>>,
    /// `[batch, seq]`; `None` counts on from the lengths of the cache's rows.
    pub position_ids: Option<Tensor<2, Int>>,
    /// Tokens of each row, where rows are padded on the right; `None` where all are full. Only a
    /// [`KvCache`](super::KvCache) needs it: nothing that is real looks at what stands behind it.
    pub lengths: Option<Vec<usize>>,
    /// Seed of the dropout masks, where there is dropout; `None` draws one for every pass.
    pub dropout_seed: Option<u64>,
}

impl Gpt2Batch {
    /// A batch of equally long sequences.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no row, a row is empty, rows differ in length, a row is
    /// longer than `n_positions`, or an id is not in the vocabulary.
    ///
    /// # Example
    /// ```no_run
    /// # fn main() -> gpt2_core::Result<()> {
    /// use gpt2_core::{Gpt2Batch, Gpt2Config, device};
    ///
    /// let device = device::best()?;
    /// let batch = Gpt2Batch::new(&[vec![464, 2068], vec![7586, 21831]], &Gpt2Config::gpt2(), &device)?;
    /// assert_eq!(batch.input_ids.dims(), [2, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(rows: &[Vec<u32>], config: &Gpt2Config, device: &Device) -> Result<Self> {
        let seq = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().find(|row| row.len() != seq) {
            let expected = format!("{seq} tokens, as in the first row");
            return Err(Error::argument("input_ids", format!("{} tokens", row.len()), expected));
        }
        for row in rows {
            check_ids(row, config)?;
        }
        check_length(seq, config)?;
        Ok(Self::from_tensor(ids(rows, seq, device)))
    }

    /// A batch of sequences of any lengths, padded on the left as generation needs it.
    ///
    /// The padding is masked out and positions count from each row's first token, so every row
    /// gives what it gives alone. Equals `transformers`' batches with `padding_side="left"`.
    ///
    /// # Errors
    /// As [`new`](Self::new), but rows may differ in length.
    pub fn left_padded(rows: &[Vec<u32>], config: &Gpt2Config, device: &Device) -> Result<Self> {
        let Some(seq) = longest(rows, config)? else {
            return Self::new(rows, config, device);
        };
        let padded = padded(rows, seq, |pad, row| [pad, row].concat());
        let count = rows.len();
        let pads = || rows.iter().map(|row| seq - row.len());
        let mask: Vec<bool> = pads().flat_map(|pad| (0..seq).map(move |at| at >= pad)).collect();
        let positions: Vec<i32> =
            pads().flat_map(|pad| (0..seq).map(move |at| at.saturating_sub(pad) as i32)).collect();
        Ok(Self {
            attention_mask: Some(Tensor::from_data(TensorData::new(mask, [count, seq]), device)),
            position_ids: Some(Tensor::from_data(TensorData::new(positions, [count, seq]), device)),
            ..Self::from_tensor(ids(&padded, seq, device))
        })
    }

    /// A batch of sequences of any lengths, padded on the right, as a cache takes them in.
    ///
    /// Every row gives what it gives alone; what comes out for its padding means nothing.
    ///
    /// # Errors
    /// As [`new`](Self::new), but rows may differ in length.
    pub fn right_padded(rows: &[Vec<u32>], config: &Gpt2Config, device: &Device) -> Result<Self> {
        let Some(seq) = longest(rows, config)? else {
            return Self::new(rows, config, device);
        };
        let padded = padded(rows, seq, |pad, row| [row, pad].concat());
        Ok(Self {
            lengths: Some(rows.iter().map(Vec::len).collect()),
            ..Self::from_tensor(ids(&padded, seq, device))
        })
    }

    /// A batch of ids that the caller has checked, without padding.
    #[must_use]
    pub fn from_tensor(input_ids: Tensor<2, Int>) -> Self {
        Self {
            input_ids,
            attention_mask: None,
            position_ids: None,
            lengths: None,
            dropout_seed: None,
        }
    }
}

/// Refuses an id that the embedding has no row for.
///
/// # Errors
/// [`Error::Argument`] naming the id.
pub fn check_ids(ids: &[u32], config: &Gpt2Config) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= config.vocab_size) {
        Some(id) => {
            let expected = format!("less than vocab_size = {}", config.vocab_size);
            Err(Error::argument("input_ids", format!("token id {id}"), expected))
        }
        None => Ok(()),
    }
}

/// Refuses an empty sequence, and one that is longer than the model's context.
///
/// # Errors
/// [`Error::Argument`] naming the length.
pub fn check_length(seq: usize, config: &Gpt2Config) -> Result<()> {
    if seq == 0 || seq > config.n_positions {
        let expected = format!("1 to n_positions = {}", config.n_positions);
        return Err(Error::argument("input_ids", format!("{seq} tokens"), expected));
    }
    Ok(())
}

/// Length of the longest row, or `None` where there is nothing to pad.
fn longest(rows: &[Vec<u32>], config: &Gpt2Config) -> Result<Option<usize>> {
    let seq = rows.iter().map(Vec::len).max().unwrap_or(0);
    if rows.iter().all(|row| row.len() == seq) {
        return Ok(None);
    }
    for row in rows {
        check_length(row.len(), config)?;
        check_ids(row, config)?;
    }
    Ok(Some(seq))
}

/// Every row with as much padding as it lacks; `join` puts the two in their order.
fn padded(rows: &[Vec<u32>], seq: usize, join: fn(&[u32], &[u32]) -> Vec<u32>) -> Vec<Vec<u32>> {
    rows.iter().map(|row| join(&vec![0; seq - row.len()], row)).collect()
}

fn ids(rows: &[Vec<u32>], seq: usize, device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), seq]), device)
}
