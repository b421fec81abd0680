//! Memory of caches, kept between calls.

use std::sync::{Arc, Mutex, PoisonError};

use gpt2_core::{Gpt2, KvCache};

use crate::Result;

/// Caches that nobody uses at the moment.
///
/// A generation takes one and gives it back, so that calls one after the other allocate once and
/// calls side by side never share.
#[derive(Debug, Clone, Default)]
pub(crate) struct CachePool(Arc<Mutex<Vec<KvCache>>>);

impl CachePool {
    /// An empty cache for at least so many sequences of at least so many tokens.
    ///
    /// One that is too small is dropped for a larger one: what was needed once will be again.
    ///
    /// # Errors
    /// As [`KvCache::new`].
    pub fn take(&self, model: &Gpt2, rows: usize, capacity: usize) -> Result<KvCache> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut cache) = free
            && cache.max_rows() >= rows
            && cache.capacity() >= capacity
        {
            cache.clear();
            return Ok(cache);
        }
        Ok(KvCache::new(model.config(), rows, capacity, &model.device())?)
    }

    /// Takes a cache back for the next generation.
    pub fn give_back(&self, cache: KvCache) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(cache);
    }
}
