//! Dumps as they are published: compressed or not, cut into pages.

mod bits;
mod blocks;
mod bzip2;
mod header;
mod page;
mod pages;
mod source;

pub use page::Page;
pub use pages::{Batch, Dump};
pub use source::Place;

#[cfg(test)]
mod tests;
