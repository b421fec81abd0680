//! Memory of caches, kept between calls.

use std::sync::{Arc, Mutex, PoisonError};

use gpt2_core::{Gpt2, KvCache};

use crate::Result;

/// Caches that are kept; calls that differ in shape need different ones.
const KEPT: usize = 4;

/// Caches that nobody uses at the moment, the one that was used last behind the others.
///
/// A generation takes one and gives it back, so that calls one after the other allocate once and
/// calls side by side never share.
#[derive(Debug, Clone, Default)]
pub(crate) struct CachePool(Arc<Mutex<Vec<KvCache>>>);

impl CachePool {
    /// An empty cache for at least so many sequences of at least so many tokens.
    ///
    /// # Errors
    /// As [`KvCache::new`].
    pub fn take(&self, model: &Gpt2, rows: usize, capacity: usize) -> Result<KvCache> {
        let suits = |cache: &KvCache| cache.max_rows() >= rows && cache.capacity() >= capacity;
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free.iter().rposition(suits) {
            let mut cache = free.remove(at);
            cache.clear();
            return Ok(cache);
        }
        drop(free);
        Ok(KvCache::new(model.config(), rows, capacity, &model.device())?)
    }

    /// Takes a cache back for the next generation; the one that was not used for longest makes room.
    pub fn give_back(&self, cache: KvCache) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT {
            free.remove(0);
        }
        free.push(cache);
    }
}
