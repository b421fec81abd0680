//! Integration tests of `gpt2-train`, in one binary.

mod lr_finder;
mod recipe;
mod recipe_file;
mod shipped_recipes;
mod trainer;
mod transfer;
