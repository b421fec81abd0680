//! GPT-2 for every Burn backend: configuration, model, weights and tokenizer.

pub mod config;
pub mod error;
pub mod folder;
pub mod tokenizer;
pub mod weights;

pub use config::Gpt2Config;
pub use error::{Error, Result};
