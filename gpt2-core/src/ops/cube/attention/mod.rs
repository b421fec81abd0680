//! Attention without a matrix of all scores, forwards and backwards; decoding, on a cache that stays where it is.

mod backward;
mod batch;
mod cached;
mod decode;
mod forward;
mod launch;
mod matrix;
mod places;
mod plan;
mod rows;
#[cfg(test)]
mod tests;
mod tile;

pub(in crate::ops::cube) use backward::backward;
pub(in crate::ops::cube) use cached::attend;
pub(in crate::ops::cube) use forward::forward;
pub(in crate::ops::cube) use rows::move_rows;
