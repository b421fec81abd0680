//! Integration tests of `gpt2-infer`, in one binary.

mod batch;
mod beam;
mod cache;
mod config;
mod finish;
mod generator;
mod next;
mod sampling;
mod speculative;
mod stop;
mod stream;
mod support;
mod text_stream;
mod window;
