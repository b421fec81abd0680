//! Texts that outgrow the context.

use crate::GenerationConfig;
use crate::row::Row;

/// The first token that the model sees of a text of `length` tokens, of which it has seen those from
/// `start` on: another one where they no longer fit.
///
/// A text slides by its own length, so that in a batch it gives what it gives alone.
pub(crate) fn start(
    start: usize,
    length: usize,
    config: &GenerationConfig,
    n_positions: usize,
) -> usize {
    match config.sliding_window {
        Some(window) if length - start > n_positions => length - window,
        _ => start,
    }
}

/// As [`start`], for a row; whether it has slid.
pub(crate) fn slide(row: &mut Row, config: &GenerationConfig, n_positions: usize) -> bool {
    let start = start(row.start, row.ids.len(), config, n_positions);
    std::mem::replace(&mut row.start, start) != start
}

/// The most tokens that are read of any of these rows.
pub(crate) fn longest_reading(rows: &[Row], n_positions: usize) -> usize {
    let readings = rows.iter().map(|row| readable(row.lengths.end, n_positions));
    readings.max().unwrap_or(1)
}

/// The most tokens that are read of a text which ends with `end` tokens: the last is not.
pub(crate) fn readable(end: usize, n_positions: usize) -> usize {
    end.saturating_sub(1).clamp(1, n_positions)
}
