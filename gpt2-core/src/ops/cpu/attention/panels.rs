//! Rows of a head, rearranged for the kernel.

use super::Rows;

/// `[panels][depth][width]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels<'a> {
    pub values: &'a [f32],
    pub depth: usize,
}

/// The numbers of `width` rows side by side, `[rows / width][head_dim][width]`; 0 where there are fewer.
#[inline(always)]
pub(super) fn columns<'a>(rows: Rows<'_>, width: usize, to: &'a mut Vec<f32>) -> Panels<'a> {
    let depth = rows.head_dim;
    to.resize(rows.len.next_multiple_of(width) * depth, 0.0);
    for (panel, to) in to.chunks_exact_mut(width * depth).enumerate() {
        let first = panel * width;
        let count = width.min(rows.len - first);
        if count < width {
            to.fill(0.0);
        }
        for row in 0..count {
            for (to, from) in to[row..].iter_mut().step_by(width).zip(rows.row(first + row)) {
                *to = *from;
            }
        }
    }
    Panels { values: to, depth }
}

/// Rows as they are, `[head_dim / width][rows][width]`; 0 behind their end.
#[inline(always)]
pub(super) fn rows<'a>(rows: Rows<'_>, width: usize, to: &'a mut Vec<f32>) -> Panels<'a> {
    to.resize(rows.head_dim.next_multiple_of(width) * rows.len, 0.0);
    for (panel, to) in to.chunks_exact_mut(width * rows.len).enumerate() {
        let first = panel * width;
        let count = width.min(rows.head_dim - first);
        for (row, to) in to.chunks_exact_mut(width).enumerate() {
            to[..count].copy_from_slice(&rows.row(row)[first..first + count]);
            to[count..].fill(0.0);
        }
    }
    Panels { values: to, depth: rows.len }
}
