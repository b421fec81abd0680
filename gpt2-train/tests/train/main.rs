//! Integration tests of `gpt2-train`, in one binary.

mod checkpoint;
mod events;
mod lora;
mod precision;
mod recipe;
mod recipe_file;
mod run_log;
mod tensorboard;
mod trainer;
mod transfer;
