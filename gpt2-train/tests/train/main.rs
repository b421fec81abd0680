//! Integration tests of `gpt2-train`, in one binary.

mod trainer;
mod transfer;
