//! Attention on the matrix units of a GPU, for numbers of 16 bits: scores, exponentials and sums are of 32.
//!
//! Where a unit has which number of a piece is the device's secret. So scores go through shared memory to the units that
//! make weights of them, two for each row, and the weights go the same way back.

pub(super) mod forward;
pub(super) mod keys;
pub(super) mod plan;
pub(super) mod queries;
mod tile;
pub(super) mod units;
#[cfg(test)]
pub(super) mod written_out;
