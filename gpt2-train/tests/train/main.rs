//! Integration tests of `gpt2-train`, in one binary.

mod checkpoint;
mod lora;
mod recipe;
mod recipe_file;
mod trainer;
mod transfer;
