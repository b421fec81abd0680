//! Products of large matrices.
//!
//! The method is that of BLIS (Van Zee and van de Geijn 2015): both operands are rearranged in
//! panels that a small kernel reads from front to back, and that kernel keeps a tile of the result
//! in registers. The smaller operand is rearranged once, for all threads. The larger one is divided
//! among tasks, each of which rearranges its own part, a piece at a time that stays in the cache of
//! its core. What becomes of a number (bias, residual, activation) is done there as well.

mod block;
mod matrix;
mod pack;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::output::Output;
use block::{Block, Tile, add_block};
pub(in crate::ops) use matrix::Matrix;
use pack::{Line, numbers, pack};

/// Depth of a piece at most: a panel of the left operand then fits the innermost cache.
const DEPTH: usize = 384;
/// Rows or columns of a task at most: its piece of the larger operand fits the cache of a core.
const TASK: usize = 192;
/// Multiplications below which threads would wait for each other longer than they work.
const PARALLEL: usize = 1 << 18;

/// What happens to what was in the result before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Into {
    /// It is not read.
    Overwrite,
    /// The product is added to it.
    Add,
}

/// `c = a @ b` or `c += a @ b`.
///
/// # Shapes
/// - a: `[rows, depth]`
/// - b: `[depth, columns]`
/// - c: `[rows, columns]`
pub(in crate::ops) fn multiply(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], into: Into) {
    multiply_then(a, b, c, into, |_, _, _| ());
}

/// As [`multiply`]; then calls `then` with the row, the first column and the numbers of every
/// piece of a row while it is in the cache.
pub(in crate::ops) fn multiply_then(
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    into: Into,
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    assert_eq!(a.columns, b.rows, "the inner extents are equal");
    assert_eq!(a.rows * b.columns, c.len(), "the result has its place");
    if a.columns == 0 && into == Into::Overwrite {
        c.fill(0.0);
    }
    let tile = Tile::of_this_processor();
    let left = Operand { lanes: a, unit: tile.rows };
    let right = Operand { lanes: b.transposed(), unit: tile.columns };
    let divides_right = a.rows < b.columns;
    let (shared, divided) = if divides_right { (left, right) } else { (right, left) };
    let output = Output::new(c, b.columns);
    let multiplications = a.rows * b.columns * a.columns;
    let threads = if multiplications < PARALLEL { 1 } else { rayon::current_num_threads() };
    let pieces = Pieces { depth: a.columns };

    let mut buffer = SHARED.take();
    shared.pack_all(pieces, numbers(&mut buffer, shared.padded() * a.columns), threads);
    let panels = &*numbers(&mut buffer, shared.padded() * a.columns);
    let work = |part: Range<usize>| {
        let mut buffer = OWN.take();
        for depth in pieces.iter() {
            let own = numbers(&mut buffer, part.len().next_multiple_of(divided.unit) * depth.len());
            divided.pack(part.clone(), depth.clone(), own);
            let packed = &panels[shared.padded() * depth.start..shared.padded() * depth.end];
            let (left, right) = if divides_right { (packed, &*own) } else { (&*own, packed) };
            let (rows, columns) = if divides_right {
                (0..a.rows, part.clone())
            } else {
                (part.clone(), 0..b.columns)
            };
            let adds = depth.start > 0 || into == Into::Add;
            add_block(Block { left, right, depth: depth.len(), rows, columns, adds }, &output);
        }
        OWN.set(buffer);
        let (rows, columns) = if divides_right { (0..a.rows, part) } else { (part, 0..b.columns) };
        for row in rows {
            then(row, columns.start, output.row(row, columns.clone()));
        }
    };
    divided.parts(threads, work);
    SHARED.set(buffer);
}

thread_local! {
    // Taken and put back, never borrowed: a thread that waits for others may be given another
    // product in between.
    static SHARED: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    static OWN: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Equal pieces of the depth.
#[derive(Clone, Copy)]
struct Pieces {
    depth: usize,
}

impl Pieces {
    fn iter(self) -> impl Iterator<Item = Range<usize>> {
        let deep = self.depth.div_ceil(self.depth.div_ceil(DEPTH).max(1)).max(1);
        (0..self.depth).step_by(deep).map(move |start| start..self.depth.min(start + deep))
    }
}

/// One side of the product: its rows or columns are the rows of `lanes`, and a panel has `unit` of
/// them.
#[derive(Clone, Copy)]
struct Operand<'a> {
    lanes: Matrix<'a>,
    unit: usize,
}

impl Operand<'_> {
    /// Lanes with those that fill the last panel.
    fn padded(self) -> usize {
        self.lanes.rows.next_multiple_of(self.unit)
    }

    fn pack(self, lanes: Range<usize>, depth: Range<usize>, panels: &mut [f32]) {
        let size = self.unit * depth.len();
        for (first, panel) in lanes.clone().step_by(self.unit).zip(panels.chunks_exact_mut(size)) {
            let lanes = first..lanes.end.min(first + self.unit);
            pack(self.lanes, lanes, depth.clone(), self.unit, panel);
        }
    }

    fn pack_all(self, pieces: Pieces, mut panels: &mut [f32], threads: usize) {
        for depth in pieces.iter() {
            let (piece, rest) = panels.split_at_mut(self.padded() * depth.len());
            panels = rest;
            if threads == 1 {
                self.pack(0..self.lanes.rows, depth, piece);
                continue;
            }
            let share = self.padded().div_ceil(threads).next_multiple_of(self.unit);
            let size = share * depth.len();
            piece.par_chunks_mut(size).with_max_len(1).enumerate().for_each(|(at, piece)| {
                let lanes = at * share..self.lanes.rows.min((at + 1) * share);
                self.pack(lanes, depth.clone(), piece);
            });
        }
    }

    /// Divides the lanes among tasks.
    fn parts(self, threads: usize, work: impl Fn(Range<usize>) + Sync) {
        let lanes = self.lanes.rows;
        // Several tasks a thread even out what other programs take from one of them.
        let share = if threads == 1 { TASK } else { lanes.div_ceil(4 * threads).min(TASK) };
        let share = share.next_multiple_of(self.unit);
        let part = |at: usize| at * share..lanes.min((at + 1) * share);
        let tasks = lanes.div_ceil(share.max(1));
        if threads == 1 {
            (0..tasks).for_each(|at| work(part(at)));
        } else {
            (0..tasks).into_par_iter().with_max_len(1).for_each(|at| work(part(at)));
        }
    }
}
