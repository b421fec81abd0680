//! Integration tests of `gpt2-train`, in one binary.

mod recipe;
mod recipe_file;
mod shards;
mod trainer;
mod transfer;
