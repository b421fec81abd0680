//! Weights in fewer bits: whole numbers of 8 and of 4, and bf16.
//!
//! A [`QuantizedMatrix`] is made from numbers (`matrix`), rounded group by group (`round`), and lies in memory as the
//! kernels of `ops` read it (`packed` on the CPU, `words` on GPUs). [`Quantization`] says which tensors of a model are one, and how. A
//! [`HalfMatrix`] holds a weight in bf16 instead; either is a [`CompactMatrix`].

mod compact;
mod half;
mod matrix;
mod order;
mod packed;
mod round;
mod scheme;
#[cfg(feature = "cube")]
mod words;

pub use compact::{CompactFormat, CompactMatrix};
pub use half::HalfMatrix;
pub(crate) use matrix::Stored;
pub use matrix::{DepthAxis, QuantizedMatrix};
#[cfg(feature = "flex")]
pub(crate) use packed::{PANEL, Packed, Shape};
pub use scheme::{IntFormat, Quantization};
#[cfg(feature = "cube")]
pub(crate) use words::{COLUMNS, WordKind, WordShape, Words};
