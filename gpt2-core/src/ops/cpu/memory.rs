//! Memory for what the kernels compute, used again and again.
//!
//! The system gives fresh memory page by page and zeroes each: touching 150 MB the first time takes ten
//! times as long as filling it. So a large buffer goes back to a pool when the last tensor on it is
//! dropped, and the next kernel that needs about as much gets it with what stands in it. Large buffers are asked for in
//! huge pages, of which the first touch costs a quarter, and which save the kernels misses of the page table's cache.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType, Shape, TensorData};
use cubecl_environment::bytes::{
    AccessError, AccessPolicy, AllocationController, AllocationProperty,
};
use memmap2::{MmapMut, MmapOptions};
use rayon::prelude::*;

/// Bytes of a line of the processor's cache, at a multiple of which every buffer begins.
const ALIGNMENT: usize = 64;
/// Bytes below which the allocator itself is quick: up to here it does not go to the system.
const POOLED: usize = 128 << 10;
/// Buffers of the pool have a multiple of these bytes, so that nearly equal requests share them.
const GRAIN: usize = 64 << 10;
/// Size of a huge page.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;
/// Requests through which an idle buffer is kept: more than a micro-batch of the largest model makes.
const KEPT_REQUESTS: u64 = 1 << 12;
/// Bytes that may be idle beside the most that were once in use, or half of those if that is less. A step uses what
/// it keeps for the way back and gradients one after the other, and not all of them are of the same sizes: room for both
/// would be an eighth of the memory of GPT-2 small, and to do without costs it a hundredth of the time.
const SPARE: usize = 64 << 20;
/// Numbers that one thread writes at a time.
const CHUNK: usize = 1 << 18;

static POOL: Pool = Pool::new();

/// Gives the buffers that nobody uses back to the system.
pub(crate) fn release() {
    POOL.release();
}

/// Bytes of all buffers of the pool, in use and idle.
pub(crate) fn reserved() -> usize {
    POOL.with(|shelves| shelves.lent_bytes + shelves.idle_bytes)
}

/// The same numbers as [`Buffer::lasting`] has them, for the weights of a model: a pass over all of them, as decoding
/// makes for every token, then waits less for the page table.
pub(crate) fn lasting(values: Vec<f32>) -> Bytes {
    if values.len() * size_of::<f32>() < POOLED {
        return Bytes::from_elems(values);
    }
    let mut buffer = Buffer::lasting(values.len());
    buffer.copy_in(&values);
    buffer.into_bytes()
}

/// Numbers of which a kernel makes a tensor.
pub(crate) struct Buffer {
    memory: Memory,
    len: usize,
    /// Where the memory goes at the end; `None` for the system.
    pool: Option<&'static Pool>,
}

enum Memory {
    /// Of the allocator; the buffer begins at the first number that is well aligned.
    Heap { floats: Vec<f32>, first: usize },
    /// Of the pool.
    Pages(MmapMut),
    /// Nothing any more: what was here is the pool's again.
    Returned,
}

impl Buffer {
    /// Room for `len` numbers, which are any: what an earlier user of the memory has left.
    pub(crate) fn new(len: usize) -> Self {
        Self::of(&POOL, len).0
    }

    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let (mut buffer, is_fresh) = Self::of(&POOL, len);
        if !is_fresh {
            buffer.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(0.0));
        }
        buffer
    }

    /// `len` zeros for what stays as long as the program, as an optimizer's state: apart from the pool, which does not
    /// take it for what a step needs.
    pub(crate) fn lasting(len: usize) -> Self {
        let bytes = len * size_of::<f32>();
        let pages = if bytes < POOLED { None } else { map(bytes) };
        Self { memory: pages.map_or_else(|| Memory::heap(len), Memory::Pages), len, pool: None }
    }

    /// A tensor that owns this memory.
    ///
    /// # Panics
    /// If `shape` does not have as many elements.
    pub(crate) fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        let shape = shape.into();
        assert_eq!(shape.num_elements(), self.len, "a tensor needs all numbers of its buffer");
        FlexTensor::from_data(TensorData::from_bytes(self.into_bytes(), shape, DType::F32))
    }

    fn into_bytes(self) -> Bytes {
        let bytes = self.len * size_of::<f32>();
        // SAFETY: the memory of a buffer is always initialized, and has these bytes. `Bytes` is `Send` and `Sync`, and
        // so is what it owns here.
        unsafe { Bytes::from_controller(Box::new(self), bytes) }
    }

    /// Copies as many numbers, on all threads.
    fn copy_in(&mut self, values: &[f32]) {
        self.par_chunks_mut(CHUNK)
            .zip(values.par_chunks(CHUNK))
            .for_each(|(own, values)| own.copy_from_slice(values));
    }

    /// A buffer, and whether its memory is fresh and therefore zero.
    fn of(pool: &'static Pool, len: usize) -> (Self, bool) {
        let bytes = len * size_of::<f32>();
        let found = if bytes < POOLED { None } else { pool.take(bytes.next_multiple_of(GRAIN)) };
        let (memory, is_fresh) = found.map_or_else(
            || (Memory::heap(len), true),
            |(pages, is_fresh)| (Memory::Pages(pages), is_fresh),
        );
        (Self { memory, len, pool: Some(pool) }, is_fresh)
    }
}

impl Memory {
    fn heap(len: usize) -> Self {
        let floats = vec![0.0; len + ALIGNMENT / size_of::<f32>() - 1];
        let first = floats.as_ptr().align_offset(ALIGNMENT).min(floats.len() - len);
        Self::Heap { floats, first }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let (floats, first) = match &self.memory {
            Memory::Heap { floats, first } => (&floats[..], *first),
            Memory::Pages(pages) => (bytemuck::cast_slice(pages), 0),
            Memory::Returned => (&[][..], 0),
        };
        &floats[first..first + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let (floats, first) = match &mut self.memory {
            Memory::Heap { floats, first } => (&mut floats[..], *first),
            Memory::Pages(pages) => (bytemuck::cast_slice_mut(pages), 0),
            Memory::Returned => (&mut [][..], 0),
        };
        &mut floats[first..first + self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Memory::Pages(pages) = std::mem::replace(&mut self.memory, Memory::Returned) {
            match self.pool {
                Some(pool) => pool.give(pages),
                None => drop(pages),
            }
        }
    }
}

impl Debug for Buffer {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer of {} numbers", self.len)
    }
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        ALIGNMENT
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(self);
        // SAFETY: the same bytes for the same time, of a type that allows more of them.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self);
        // SAFETY: the same bytes for the same time; the caller writes initialized ones only.
        Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    fn capacity(&self) -> usize {
        self.len * size_of::<f32>()
    }

    /// A copy of its own, as is made before the first write to a tensor that several hold.
    fn duplicate(&self) -> Option<Box<dyn AllocationController>> {
        let mut copy = match self.pool {
            Some(pool) => Self::of(pool, self.len).0,
            None => Self::lasting(self.len),
        };
        copy.copy_in(self);
        Some(Box::new(copy))
    }
}

/// Buffers that wait for their next user.
///
/// What is idle and what is lent are never together much more ([`SPARE`]) than what was once lent at the same time, and
/// nothing stays idle through [`KEPT_REQUESTS`].
struct Pool(Mutex<Shelves>);

struct Shelves {
    /// By size and the number of the request before which it came back.
    idle: BTreeMap<(usize, u64), MmapMut>,
    /// The same keys by age: number to size.
    ages: BTreeMap<u64, usize>,
    /// Number of requests and returns so far.
    clock: u64,
    idle_bytes: usize,
    lent_bytes: usize,
    most_lent: usize,
}

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Shelves {
            idle: BTreeMap::new(),
            ages: BTreeMap::new(),
            clock: 0,
            idle_bytes: 0,
            lent_bytes: 0,
            most_lent: 0,
        }))
    }

    /// At least so many bytes, and whether they are fresh; `None` where the system has none.
    fn take(&self, bytes: usize) -> Option<(MmapMut, bool)> {
        if let Some(pages) = self.with(|shelves| shelves.take(bytes)) {
            return Some((pages, false));
        }
        // What no longer has a place is unmapped first, and where it does not hold up the others.
        drop(self.with(|shelves| {
            shelves.lend(bytes);
            shelves.trim()
        }));
        let pages = map(bytes);
        if pages.is_none() {
            self.with(|shelves| shelves.lent_bytes -= bytes);
        }
        Some((pages?, true))
    }

    fn give(&self, pages: MmapMut) {
        drop(self.with(|shelves| {
            shelves.give(pages);
            shelves.trim()
        }));
    }

    fn release(&self) {
        drop(self.with(|shelves| {
            shelves.most_lent = shelves.lent_bytes;
            shelves.idle_bytes = 0;
            shelves.ages.clear();
            std::mem::take(&mut shelves.idle)
        }));
    }

    /// No state is left half changed by a panic, so a poisoned lock is as good as another.
    fn with<T>(&self, work: impl FnOnce(&mut Shelves) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shelves {
    /// The smallest that is enough and not much more, and of those the one used last, which caches may still hold.
    fn take(&mut self, bytes: usize) -> Option<MmapMut> {
        self.clock += 1;
        let most = bytes + bytes / 8;
        let (&(size, _), _) = self.idle.range((bytes, 0)..=(most, u64::MAX)).next()?;
        let (&key, _) = self.idle.range((size, 0)..=(size, u64::MAX)).next_back()?;
        let pages = self.remove(key)?;
        self.lend(size);
        Some(pages)
    }

    fn give(&mut self, pages: MmapMut) {
        self.clock += 1;
        let size = pages.len();
        self.lent_bytes -= size;
        self.idle_bytes += size;
        self.ages.insert(self.clock, size);
        self.idle.insert((size, self.clock), pages);
    }

    fn lend(&mut self, size: usize) {
        self.lent_bytes += size;
        self.most_lent = self.most_lent.max(self.lent_bytes);
    }

    fn remove(&mut self, key: (usize, u64)) -> Option<MmapMut> {
        let pages = self.idle.remove(&key)?;
        self.ages.remove(&key.1);
        self.idle_bytes -= key.0;
        Some(pages)
    }

    /// Takes out what is too much or has waited too long.
    fn trim(&mut self) -> Vec<MmapMut> {
        let mut out = Vec::new();
        while let Some(key) = self.stale().or_else(|| self.excess()) {
            out.extend(self.remove(key));
        }
        out
    }

    /// What has waited too long.
    fn stale(&self) -> Option<(usize, u64)> {
        let (&since, &size) = self.ages.first_key_value()?;
        (self.clock - since > 2 * KEPT_REQUESTS).then_some((size, since))
    }

    /// What is too much: the largest buffer that is not more than that, since the next step needs what goes again, or the
    /// smallest of all.
    fn excess(&self) -> Option<(usize, u64)> {
        let most = self.most_lent + SPARE.min(self.most_lent / 2);
        let excess = (self.lent_bytes + self.idle_bytes).checked_sub(most + 1)? + 1;
        let part = self.idle.range(..=(excess, u64::MAX)).next_back();
        part.or_else(|| self.idle.first_key_value()).map(|(&key, _)| key)
    }
}

/// Fresh zeroed memory of the system; `None` where it has none.
fn map(bytes: usize) -> Option<MmapMut> {
    let pages = MmapOptions::new().len(bytes).map_anon().ok()?;
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // Without huge pages all is as before, but slower.
        let _ = pages.advise(memmap2::Advice::HugePage);
    }
    Some(pages)
}

#[cfg(test)]
mod tests;
