//! Integration tests of `gpt2-train`, in one binary.

mod precision;
mod recipe;
mod recipe_file;
mod trainer;
mod transfer;
