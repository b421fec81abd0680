//! Integration tests of `gpt2-infer`, in one binary.

mod ahead;
mod batch;
mod beam;
mod cache;
mod config;
mod cost;
mod features;
mod finish;
mod generator;
mod likelihood;
mod next;
mod pipeline;
mod sampling;
mod speculative;
mod stop;
mod stream;
mod support;
mod text_stream;
mod window;
