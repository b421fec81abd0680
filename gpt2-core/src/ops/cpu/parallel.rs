//! Work on the rows of a matrix, divided among the threads where that pays.

use rayon::prelude::*;

/// Numbers below which the threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 15;
/// Numbers that a task takes at least.
const TASK: usize = 1 << 13;

/// Calls `work` with every chunk of `size` numbers and its place among the chunks.
///
/// What a chunk gets does not depend on the number of threads.
pub(super) fn for_each_chunk(
    values: &mut [f32],
    size: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let cost = values.len();
    for_each_chunk_of(values, size, cost, work);
}

/// As [`for_each_chunk`], where all chunks together take as long as `cost` numbers.
pub(super) fn for_each_chunk_of(
    values: &mut [f32],
    size: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let work = |(at, chunk): (usize, &mut [f32])| work(at, chunk);
    if cost < PARALLEL {
        values.chunks_mut(size).enumerate().for_each(work);
    } else {
        let least = (TASK * values.len()).div_ceil(size * cost);
        values.par_chunks_mut(size).enumerate().with_min_len(least).for_each(work);
    }
}

/// As [`for_each_chunk`], with the chunks of another slice beside those of the first.
pub(super) fn for_each_pair(
    values: &mut [f32],
    size: usize,
    others: &mut [f32],
    other_size: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let is_small = values.len() < PARALLEL;
    let work = |(at, (chunk, other)): (usize, (&mut [f32], &mut [f32]))| work(at, chunk, other);
    if is_small {
        values.chunks_mut(size).zip(others.chunks_mut(other_size)).enumerate().for_each(work);
    } else {
        let others = others.par_chunks_mut(other_size);
        let least = TASK.div_ceil(size);
        values.par_chunks_mut(size).zip(others).enumerate().with_min_len(least).for_each(work);
    }
}
