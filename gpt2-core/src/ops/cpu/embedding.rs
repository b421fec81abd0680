//! Look-ups in two tables at once, and the gradient of a table.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::memory::Buffer;
use super::parallel::for_each_chunk;
use super::simd::run;

/// `tokens[ids[i]] + positions[places[i]]`; the places start again where there are fewer of them.
pub(super) fn embedding(
    tokens: &[f32],
    positions: &[f32],
    ids: &[usize],
    places: &[usize],
    width: usize,
) -> Buffer {
    let mut output = Buffer::new(ids.len() * width);
    for_each_chunk(&mut output, width, |at, output| {
        let token = &tokens[ids[at] * width..][..width];
        let position = &positions[places[at % places.len()] * width..][..width];
        for ((output, token), position) in output.iter_mut().zip(token).zip(position) {
            *output = token + position;
        }
    });
    output
}

/// Adds row `i` of `upstream` to the row `indices[i]` of a table; the indices start again where there are
/// fewer of them.
///
/// What goes to one row is summed first, from the first to the last, so that neither the number of threads nor
/// what stood in the table before changes that sum.
pub(super) fn scatter_add(table: &mut [f32], indices: &[usize], upstream: &[f32], width: usize) {
    let rows = upstream.len() / width;
    let mut order: Vec<(usize, usize)> =
        (0..rows).map(|row| (indices[row % indices.len()], row)).collect();
    order.sort_unstable();
    let parts = rayon::current_num_threads() * 4;
    let size = (table.len() / width).div_ceil(parts).max(1);
    table.par_chunks_mut(size * width).enumerate().for_each(|(part, table)| {
        let first = part * size;
        let from = order.partition_point(|&(index, _)| index < first);
        let to = order.partition_point(|&(index, _)| index < first + size);
        let mut sum = vec![0.0; width];
        for same in order[from..to].chunk_by(|a, b| a.0 == b.0) {
            let row = &mut table[(same[0].0 - first) * width..][..width];
            run(AddRows { row, same, upstream, sum: &mut sum });
        }
    });
}

struct AddRows<'a> {
    row: &'a mut [f32],
    same: &'a [(usize, usize)],
    upstream: &'a [f32],
    sum: &'a mut [f32],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { row, same, upstream, sum } = self;
        let width = row.len();
        sum.fill(0.0);
        for &(_, from) in same {
            for (sum, value) in sum.iter_mut().zip(&upstream[from * width..][..width]) {
                *sum += value;
            }
        }
        for (row, sum) in row.iter_mut().zip(sum) {
            *row += *sum;
        }
    }
}
