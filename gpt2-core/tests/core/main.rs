//! Integration tests of `gpt2-core`, in one binary.

mod cache;
mod common;
mod model;
