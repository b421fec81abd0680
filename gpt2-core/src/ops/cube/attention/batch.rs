//! What of a batch a cube works on.

use cubecl::prelude::*;

use crate::ops::causal_attention::Heads;
use crate::ops::cube::mask::{self, Dropout};

/// A batch, as kernels of many tokens take it.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Batch {
    pub rows: usize,
    pub heads: usize,
    /// Tokens of a row.
    pub seq: usize,
    /// On the scores.
    pub factor: f32,
    pub dropout: ComptimeOption<Dropout>,
}

/// A batch of so many rows and tokens of each as an argument.
pub(super) fn argument([rows, seq]: [usize; 2], heads: Heads) -> BatchLaunch {
    BatchLaunch::new(rows, heads.count, seq, heads.factor, heads.mask.map(mask::argument).into())
}

/// Cubes that have a tile of so many tokens of a head each.
pub(super) fn cubes_of([rows, seq]: [usize; 2], heads: Heads, tile: usize) -> usize {
    rows * heads.count * seq.div_ceil(tile)
}

/// A tile of a head.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Work {
    pub row: usize,
    pub head: usize,
    /// The head among those of all rows.
    pub number: usize,
    /// The first token.
    pub first: usize,
}

/// Where the rows of a head lie, in vectors.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Rows {
    pub first: usize,
    pub stride: usize,
}

#[cube]
impl Batch {
    /// Whether there is a tile for this cube: a launch may have more cubes.
    pub fn has_work(&self, #[comptime] tile: usize) -> bool {
        CUBE_POS < self.rows * self.heads * self.seq.div_ceil(tile)
    }

    /// This cube's tile; those of the last tokens are taken first where `backwards`.
    ///
    /// The first to be taken should be those with most to do, so that the last cubes to end have little.
    pub fn work(&self, #[comptime] tile: usize, #[comptime] backwards: bool) -> Work {
        let turn = CUBE_POS / (self.rows * self.heads);
        let at = if comptime!(backwards) { self.seq.div_ceil(tile) - 1 - turn } else { turn };
        let number = CUBE_POS % (self.rows * self.heads);
        Work { row: number / self.heads, head: number % self.heads, number, first: at * tile }
    }

    /// Part of a head in a matrix `[rows, seq, parts, heads, head_dim]`.
    pub fn part(
        &self,
        work: &Work,
        #[comptime] part: usize,
        #[comptime] parts: usize,
        #[comptime] vectors: usize,
    ) -> Rows {
        let before = (work.row * self.seq * parts + part) * self.heads + work.head;
        Rows { first: before * vectors, stride: self.heads * comptime!(parts * vectors) }
    }
}

/// A head of a cache `[rows, heads, capacity, head_dim]`.
#[cube]
pub(super) fn cached(work: &Work, capacity: usize, #[comptime] vectors: usize) -> Rows {
    Rows { first: work.number * capacity * vectors, stride: vectors.runtime() }
}
