//! Integration tests of `gpt2-infer`, in one binary.

mod batch;
mod cache;
mod config;
mod features;
mod finish;
mod likelihood;
mod next;
mod pipeline;
mod sampling;
mod stream;
mod support;
