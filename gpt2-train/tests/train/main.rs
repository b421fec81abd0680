//! Integration tests of `gpt2-train`, in one binary.

mod checkpoint;
mod device_memory;
mod events;
mod growth;
mod lora;
mod lr_finder;
mod precision;
mod recipe;
mod recipe_file;
mod run_log;
mod shards;
mod shipped_recipes;
mod support;
mod tensorboard;
mod trainer;
mod transfer;
mod wiki;
