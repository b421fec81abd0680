//! Corpora as folders of token ids, made by [`tokenize_files`] and read from the disk as they are needed.
//!
//! A folder holds the tokens of each part of a corpus (training, validation, test), all documents joined, in files of equal
//! length, the last one apart, and `manifest.json`, which says what they are. `docs/data.md` has the format byte by byte.
//!
//! Tokens are read with positioned reads, not from a memory map. A map of a file that somebody cuts short ends the
//! process by a signal, where a read returns an error that can name the file; its pages count as memory of the process; and
//! it cannot be made without `unsafe`. The page cache holds what is read often in either case.

mod blocks;
mod file;
mod folder;
mod header;
mod manifest;
mod output;
mod survey;
mod tokenize;
mod writer;

pub use folder::{ShardFolder, Shards};
pub use manifest::{Manifest, ShardEntry, ShardJob, SplitEntry};
pub use tokenize::{TokenizeOptions, TokenizeProgress, tokenize_files};

pub(super) use blocks::ShardBlocks;

/// Version of the format.
const VERSION: u32 = 1;
