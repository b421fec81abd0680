//! Integration tests of `gpt2-train`, in one binary.

mod recipe;
mod trainer;
mod transfer;
