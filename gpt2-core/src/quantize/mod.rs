//! Weights as whole numbers of 8 and of 4 bits.
//!
//! A [`QuantizedMatrix`] is made from numbers (`matrix`), rounded group by group (`round`), and lies in memory as the
//! kernels of `ops` read it (`packed`). [`Quantization`] says which tensors of a model are one, and how.

mod matrix;
mod packed;
mod round;
mod scheme;

pub(crate) use matrix::Stored;
pub use matrix::{DepthAxis, QuantizedMatrix};
#[cfg(feature = "flex")]
pub(crate) use packed::{PANEL, Packed, Shape};
pub use scheme::{IntFormat, Quantization};
