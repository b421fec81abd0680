//! Integration tests of `gpt2-core`, in one binary.

mod allocation;
mod cache;
mod common;
mod model;
mod ops;
