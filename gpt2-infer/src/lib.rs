//! Text generation with GPT-2, and what else a language model is used for.
//!
//! - [`Pipeline`] is a model folder ready for use, text in and text out: generation, the next word,
//!   the loss of a text, scores of continuations, features. The rest is the same on token ids.
//! - [`GenerationConfig`] holds the options, under the names and with the defaults of Hugging
//!   Face's class; [`GenerationConfig::from_pretrained`] reads those of a model folder.
//! - [`Generator`] continues prompts with them: [`generate`](Generator::generate) by every strategy,
//!   [`generate_with`](Generator::generate_with) token by token,
//!   [`stream`](Generator::stream) as text that appears piece by piece. It takes a draft model,
//!   processors of your own and a switch to cancel. The functions [`generate()`] and
//!   [`generate_with()`] do with a model alone.
//! - [`next_tokens`] lists the most likely next tokens.
//! - [`loss`] measures how well a text is predicted, [`score_continuations`] compares ways to go on,
//!   [`features`] extracts hidden states.
//! - [`logits`] has the processors that change scores before a token is chosen, [`sample`] the
//!   choice itself.
//!
//! # Examples
//! From text to text:
//! ```no_run
//! # fn main() -> gpt2_infer::Result<()> {
//! use gpt2_core::device;
//! use gpt2_infer::{GenerationConfig, Pipeline};
//!
//! let pipeline = Pipeline::from_pretrained("gpt2-small-indonesian", &device::best()?)?;
//! let config =
//!     GenerationConfig { max_new_tokens: Some(20), ..pipeline.generation_config().clone() };
//! for generated in pipeline.generate("Nama saya Budi, dari Indonesia", &config)? {
//!     println!("{}", generated.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! From ids to ids, with a model that is at hand:
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

mod ahead;
mod beam;
pub mod bench;
pub mod config;
mod draft;
pub mod error;
mod features;
mod generate;
mod generator;
mod likelihood;
pub mod logits;
mod next;
mod pipeline;
mod plan;
mod pool;
mod probability;
mod prompt;
mod reader;
mod row;
pub mod sample;
mod session;
mod stop;
mod stream;
mod window;

pub use config::{EarlyStopping, GenerationConfig};
pub use error::{Error, Result};
pub use features::{FeatureOptions, Features, Pooling, features};
pub use generate::{generate, generate_with};
pub use generator::Generator;
pub use likelihood::{
    ContinuationScore, TextLoss, Window, loss, score_continuations, sliding_loss,
};
pub use next::{Candidate, next_tokens};
pub use pipeline::{GeneratedText, NextWord, Pipeline};
pub use row::{FinishReason, LogProbs, Sequence, Token};
pub use stop::Cancellation;
pub use stream::{AsyncTextStream, TextPiece, TextStream};
