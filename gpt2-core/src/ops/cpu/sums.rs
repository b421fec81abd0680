//! Sums over the rows of a matrix.

use pulp::{Simd, WithSimd};

use super::memory::Buffer;
use super::parallel::for_each_chunk_of;
use super::simd::run;

/// Columns of one task.
const WIDTH: usize = 256;

/// The sum of every column: each goes from the first row to the last, whatever the number of threads.
pub(super) fn columns(values: &[f32], width: usize) -> Buffer {
    let mut sums = Buffer::zeroed(width);
    for_each_chunk_of(&mut sums, WIDTH, values.len(), |task, sums| {
        run(Columns { values, width, first: task * WIDTH, sums });
    });
    sums
}

struct Columns<'a> {
    values: &'a [f32],
    width: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { values, width, first, sums } = self;
        let count = sums.len();
        let mut four = values.chunks_exact(4 * width);
        for rows in &mut four {
            let [a, b, c, d] = std::array::from_fn(|at| &rows[at * width + first..][..count]);
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = *sum + a[at] + b[at] + c[at] + d[at];
            }
        }
        for row in four.remainder().chunks_exact(width) {
            for (sum, value) in sums.iter_mut().zip(&row[first..][..count]) {
                *sum += value;
            }
        }
    }
}
