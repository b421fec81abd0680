//! Keys and values of what a model has read, owned by the caller.

use burn::tensor::{Device, Tensor};

use crate::{Error, Gpt2Config, Result};

/// Keys and values of all blocks for a batch of sequences, so that each token is computed once.
///
/// The memory is allocated once, for `capacity` positions; a decode step writes into it in place.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    batch: usize,
    capacity: usize,
}

/// Keys and values of one block, `[batch, head, capacity, head_dim]`, filled up to `len`.
#[derive(Debug, Clone)]
pub(super) struct LayerCache {
    key: Tensor<4>,
    value: Tensor<4>,
    len: usize,
}

impl KvCache {
    /// An empty cache for `batch` sequences of at most `capacity` tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] when `batch` is 0, or `capacity` is 0 or beyond `n_positions`.
    pub fn new(
        config: &Gpt2Config,
        batch: usize,
        capacity: usize,
        device: &Device,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", batch, "at least 1"));
        }
        if capacity == 0 || capacity > config.n_positions {
            let expected = format!("1 to n_positions = {}", config.n_positions);
            return Err(Error::argument("capacity", capacity, expected));
        }
        let shape = [batch, config.n_head, capacity, config.head_dim()];
        let layer = || LayerCache {
            key: Tensor::zeros(shape, device),
            value: Tensor::zeros(shape, device),
            len: 0,
        };
        Ok(Self { layers: (0..config.n_layer).map(|_| layer()).collect(), batch, capacity })
    }

    /// Positions that are filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.len)
    }

    /// Whether nothing has been read yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of sequences.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Forgets everything from position `len` on; the memory is kept for the next text.
    pub fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            layer.len = layer.len.min(len);
        }
    }
}

impl LayerCache {
    /// Writes new keys and values behind the old ones and returns all of them.
    ///
    /// # Shapes
    /// - key, value: `[batch, head, seq, head_dim]`
    /// - output: `[batch, head, len + seq, head_dim]`
    pub(super) fn append(&mut self, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let [batch, head, seq, head_dim] = key.dims();
        let end = self.len + seq;
        let new = [0..batch, 0..head, self.len..end, 0..head_dim];
        let all = [0..batch, 0..head, 0..end, 0..head_dim];
        // `inplace` leaves no second owner, so that the write does not copy the cache.
        self.key.inplace(|cached| cached.slice_assign(new.clone(), key));
        self.value.inplace(|cached| cached.slice_assign(new, value));
        self.len = end;
        (self.key.clone().slice(all.clone()), self.value.clone().slice(all))
    }
}
