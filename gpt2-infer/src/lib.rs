//! Text generation with GPT-2, on token ids.
//!
//! - [`GenerationConfig`] holds the options, under the names and with the defaults of Hugging
//!   Face's class; [`GenerationConfig::from_pretrained`] reads those of a model folder.
//! - [`generate`] continues prompts, [`generate_with`] hands out every token as it is made, and
//!   [`next_tokens`] lists the most likely next ones.
//! - [`logits`] has the processors that change scores before a token is chosen, [`sample`] the
//!   choice itself.
//!
//! Nothing here knows text: a tokenizer turns it into ids and back.
//!
//! # Example
//! ```no_run
//! # fn main() -> gpt2_infer::Result<()> {
//! use gpt2_core::{Gpt2, Gpt2Config, device};
//! use gpt2_infer::{GenerationConfig, generate};
//!
//! let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
//! let config = GenerationConfig {
//!     do_sample: true,
//!     top_p: 0.95,
//!     max_new_tokens: Some(20),
//!     seed: Some(7),
//!     ..GenerationConfig::from_model_config(model.config())?
//! };
//! for sequence in &generate(&model, &[vec![464, 2068]], &config)?[0] {
//!     println!("{:?}: {:?}", sequence.finish_reason, sequence.ids);
//! }
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod error;
mod generate;
pub mod logits;
mod next;
mod probability;
mod prompt;
mod reader;
mod row;
pub mod sample;

pub use config::{EarlyStopping, GenerationConfig};
pub use error::{Error, Result};
pub use generate::{generate, generate_with};
pub use next::{Candidate, next_tokens};
pub use row::{FinishReason, Sequence, Token};
