//! GPT-2 for every Burn backend: configuration, model, weights and tokenizer.

pub mod config;
pub mod device;
pub mod error;
pub mod folder;
pub mod model;
pub mod ops;
pub mod tokenizer;
pub mod weights;

pub use config::Gpt2Config;
pub use error::{Error, Result};
pub use model::{Gpt2, Gpt2Batch, Gpt2Output, KvCache, OutputOptions};
