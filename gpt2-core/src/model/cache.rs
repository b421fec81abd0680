//! Keys and values of what a model has read, owned by the caller.

use burn::tensor::{Device, Tensor};

use super::places::Places;
use crate::ops::{self, AttentionScale};
use crate::{Error, Gpt2Config, Result, device};

/// Keys and values of what was read, for up to `max_rows` sequences of at most `capacity` tokens.
///
/// Row `r` holds `lengths()[r]` tokens from place 0 on: there is never padding in it, and rows may
/// have different lengths. The memory is allocated once; reading writes into it in place.
///
/// # Example
/// ```
/// # use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, KvCache, device};
/// # fn main() -> gpt2_core::Result<()> {
/// # let device = device::best()?;
/// # let config = Gpt2Config { vocab_size: 100, n_embd: 32, n_layer: 2, n_head: 4, ..Gpt2Config::gpt2() };
/// # let model = Gpt2::init(&config, 42, &device)?;
/// let mut cache = KvCache::new(&config, 4, 64, &device)?;
/// let prompts = Gpt2Batch::right_padded(&[vec![5, 17, 3], vec![8]], &config, &device)?;
/// let _ = model.hidden_cached(&prompts, &mut cache);
/// assert_eq!(cache.lengths(), [3, 1]);
/// cache.select(&[1, 0, 0])?; // the second text goes on once, the first one twice
/// let next = Gpt2Batch::new(&[vec![9], vec![4], vec![7]], &config, &device)?;
/// let _ = model.hidden_cached(&next, &mut cache);
/// assert_eq!(cache.lengths(), [2, 4, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    pub(super) lengths: Vec<usize>,
    max_rows: usize,
    capacity: usize,
}

/// Keys and values of one block, `[max_rows, head, capacity, head_dim]`.
#[derive(Debug, Clone)]
pub(super) struct LayerCache {
    key: Tensor<4>,
    value: Tensor<4>,
}

impl KvCache {
    /// An empty cache for up to `max_rows` sequences of at most `capacity` tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] when `max_rows` is 0 or more than the host has memory for, or `capacity`
    /// is 0 or beyond `n_positions`.
    pub fn new(
        config: &Gpt2Config,
        max_rows: usize,
        capacity: usize,
        device: &Device,
    ) -> Result<Self> {
        if max_rows == 0 {
            return Err(Error::argument("max_rows", max_rows, "at least 1"));
        }
        if capacity == 0 || capacity > config.n_positions {
            let expected = format!("1 to n_positions = {}", config.n_positions);
            return Err(Error::argument("capacity", capacity, expected));
        }
        let shape = [max_rows, config.n_head, capacity, config.head_dim()];
        if !fits(config.n_layer, shape, device) {
            let expected = format!("fewer: there is no memory for {capacity} tokens of each");
            return Err(Error::argument("max_rows", max_rows, expected));
        }
        let layer = || LayerCache {
            key: Tensor::zeros(shape, device),
            value: Tensor::zeros(shape, device),
        };
        let layers = (0..config.n_layer).map(|_| layer()).collect();
        Ok(Self { layers, lengths: Vec::with_capacity(max_rows), max_rows, capacity })
    }

    /// Rows in use; 0 when the cache is empty.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens of every row in use.
    #[must_use]
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Rows that there is room for.
    #[must_use]
    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// Tokens of a row that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets every row; the memory is kept for the next text.
    pub fn clear(&mut self) {
        self.lengths.clear();
    }

    /// Forgets what `row` holds from place `len` on.
    ///
    /// # Panics
    /// If `row` is not in use.
    pub fn truncate(&mut self, row: usize, len: usize) {
        let length = &mut self.lengths[row];
        *length = len.min(*length);
    }

    /// Rearranges the rows: row `i` becomes what row `rows[i]` was. Rows may repeat or be left out.
    ///
    /// Nothing is copied for rows in front and at the end that stay where they are, and of the
    /// others only the part that is filled.
    ///
    /// # Errors
    /// [`Error::Argument`] when an index is not a row in use, or there are more than `max_rows`.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        if rows.len() > self.max_rows {
            let expected = format!("at most max_rows = {}", self.max_rows);
            return Err(Error::argument("rows", format!("{} rows", rows.len()), expected));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            let expected = format!("one of the {} rows in use", self.rows());
            return Err(Error::argument("rows", format!("row {row}"), expected));
        }
        let moved = |row: &usize| rows[*row] != *row;
        let (first, last) = ((0..rows.len()).find(moved), (0..rows.len()).rfind(moved));
        if let (Some(first), Some(last)) = (first, last) {
            let from = &rows[first..=last];
            let filled = from.iter().map(|&row| self.lengths[row]).max().unwrap_or_default();
            for layer in &mut self.layers {
                layer.copy_rows(from, first, filled);
            }
        }
        self.lengths = rows.iter().map(|&row| self.lengths[row]).collect();
        Ok(())
    }
}

/// Whether there is memory for the keys and values of so many layers.
///
/// On the host an allocation that fails ends the program, so it is tried; a GPU is asked for its limits.
fn fits(layers: usize, shape: [usize; 4], device: &Device) -> bool {
    let mut extents = shape.into_iter().chain([layers, 2]);
    let count = extents.try_fold(1usize, |count, extent| count.checked_mul(extent));
    let reserved = |count| {
        let mut room = Vec::<f32>::new();
        let reserved = room.try_reserve_exact(count).is_ok();
        // The compiler may leave out an allocation that nobody looks at.
        std::hint::black_box(room.as_ptr());
        reserved
    };
    let Some((count, tensor)) = count.zip(shape.into_iter().try_fold(4, usize::checked_mul)) else {
        return false;
    };
    match device::limits(device) {
        Some(limits) => limits.check("the cache", tensor as u64, count as u64 * 4).is_ok(),
        None => !device::is_cpu(device) || reserved(count),
    }
}

impl LayerCache {
    /// Writes new keys and values behind the old ones and returns all of them.
    ///
    /// # Shapes
    /// - key, value: `[rows, head, seq, head_dim]`
    /// - output: `[rows, head, places.width(), head_dim]`
    pub(super) fn append(
        &mut self,
        key: Tensor<4>,
        value: Tensor<4>,
        places: &Places,
    ) -> (Tensor<4>, Tensor<4>) {
        (write(&mut self.key, key, places), write(&mut self.value, value, places))
    }

    /// Attention of new tokens, whose keys and values are written behind the old ones.
    ///
    /// # Shapes
    /// - qkv: `[rows, seq, 3 embd]`
    /// - output: `[rows, seq, embd]`
    pub(super) fn attend(
        &mut self,
        qkv: Tensor<3>,
        places: &Places,
        scale: AttentionScale,
    ) -> Tensor<3> {
        let ranges = places.ranges().collect();
        ops::attend_in_place(qkv, &mut self.key, &mut self.value, ranges, scale)
    }

    /// Writes the first `filled` places of the rows `from` over the rows from `first` on.
    fn copy_rows(&mut self, from: &[usize], first: usize, filled: usize) {
        if filled == 0 {
            return;
        }
        ops::move_rows(&mut self.key, from, first, filled);
        ops::move_rows(&mut self.value, from, first, filled);
    }
}

/// Writes `new` into its places and returns the part that is filled then.
fn write(cached: &mut Tensor<4>, new: Tensor<4>, places: &Places) -> Tensor<4> {
    let [rows, head, _, head_dim] = new.dims();
    let width = places.width();
    // `inplace` leaves no second owner, so that the write does not copy the cache.
    if let Some(start) = places.common_start() {
        let to = [0..rows, 0..head, start..width, 0..head_dim];
        let new = new.narrow(2, 0, width - start);
        cached.inplace(|cached| cached.slice_assign(to, new));
    } else {
        for (row, range) in places.ranges().enumerate().filter(|(_, range)| !range.is_empty()) {
            let from = [row..row + 1, 0..head, 0..range.len(), 0..head_dim];
            let to = [row..row + 1, 0..head, range, 0..head_dim];
            let new = new.clone().slice(from);
            cached.inplace(|cached| cached.slice_assign(to, new));
        }
    }
    cached.clone().slice([0..rows, 0..head, 0..width, 0..head_dim])
}
