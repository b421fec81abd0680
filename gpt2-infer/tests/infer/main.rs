//! Integration tests of `gpt2-infer`, in one binary.

mod batch;
mod cache;
mod config;
mod finish;
mod next;
mod sampling;
mod stream;
mod support;
