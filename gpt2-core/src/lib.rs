//! GPT-2 in pure Rust, written once for every Burn backend.
//!
//! - [`ModelFolder`] is a published model: it opens a folder and gives its configuration, model
//!   ([`ModelFolder::model`]), tokenizer ([`ModelFolder::tokenizer`]) and generation defaults;
//!   [`pretrained::ModelToSave`] writes one.
//! - [`Gpt2`] is the model, immutable weights without state; [`Gpt2Batch`] is what goes in,
//!   [`KvCache`] what the caller keeps between calls.
//! - [`Gpt2Config`] is `config.json`.
//! - [`LoraConfig`] puts low-rank weights beside a model's own; [`Gpt2::load_adapter`] reads PEFT's.
//! - [`weights`] reads and writes checkpoints, [`tokenizer`] turns text into ids and back.
//! - [`device`] names the backends that are compiled in. Each is a feature: `flex` and `ndarray`
//!   (CPU, both on by default), `wgpu` (GPU). `hub` adds download from the Hugging Face hub.
//!
//! Training is in `gpt2-train`, generation in `gpt2-infer`.
//!
//! # Example
//! ```
//! use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, device};
//!
//! # fn main() -> gpt2_core::Result<()> {
//! let device = device::best()?;
//! let config = Gpt2Config { vocab_size: 100, n_embd: 32, n_layer: 2, n_head: 4, ..Gpt2Config::gpt2() };
//! let model = Gpt2::init(&config, 42, &device)?;
//! let batch = Gpt2Batch::new(&[vec![5, 17, 3]], &config, &device)?;
//! let logits = model.forward(&batch);
//! assert_eq!(logits.dims(), [1, 3, 100]);
//! # Ok(())
//! # }
//! ```
// What the kernels of `flex` alone make use of is here without them as well.
#![cfg_attr(not(feature = "flex"), allow(dead_code, unused))]

pub mod bench;
pub mod config;
pub mod device;
pub mod error;
pub mod folder;
pub mod lora;
pub mod model;
pub mod ops;
pub mod pretrained;
pub mod quantize;
pub mod tokenizer;
pub mod weights;

pub use config::Gpt2Config;
pub use error::{Error, Result};
pub use lora::LoraConfig;
pub use model::{Gpt2, Gpt2Batch, Gpt2Output, KvCache, OutputOptions};
pub use pretrained::ModelFolder;
pub use quantize::Quantization;
