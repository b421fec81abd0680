//! Rows of a cache that change places.

use super::attention::decode::Shape;

/// Places that are copied at a time, so that no memory grows with the text.
const BLOCK: usize = 16;

/// Writes the first `filled` places of the rows `from` over the rows from `first` on.
///
/// All rows of a block are taken out before one is written, so that rows may change with each other.
///
/// # Shapes
/// - cached: `[rows or more, head, capacity, head_dim]`
pub(super) fn move_rows(
    cached: &mut [f32],
    from: &[usize],
    first: usize,
    filled: usize,
    shape: Shape,
) {
    let Shape { heads, head_dim, capacity, .. } = shape;
    let moved = || from.iter().enumerate().filter(|&(at, &row)| row != first + at);
    let mut scratch = vec![0.0; moved().count() * BLOCK * head_dim];
    for head in 0..heads {
        for start in (0..filled).step_by(BLOCK) {
            let size = BLOCK.min(filled - start) * head_dim;
            let place = |row: usize| ((row * heads + head) * capacity + start) * head_dim;
            for ((_, &row), taken) in moved().zip(scratch.chunks_exact_mut(BLOCK * head_dim)) {
                taken[..size].copy_from_slice(&cached[place(row)..][..size]);
            }
            for ((at, _), taken) in moved().zip(scratch.chunks_exact(BLOCK * head_dim)) {
                cached[place(first + at)..][..size].copy_from_slice(&taken[..size]);
            }
        }
    }
}
