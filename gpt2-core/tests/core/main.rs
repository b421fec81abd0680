//! Integration tests of `gpt2-core`, in one binary.

mod allocation;
mod cache;
mod common;
mod fused;
mod locate;
mod lora;
mod model;
mod ops;
mod optimizer_ops;
mod quantize;
mod resize;
