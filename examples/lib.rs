//! Programs that show what the GPT-2 crates are for; each is an example of this package.
//!
//! - `finetune_kids_stories`: from children's stories to a published model folder and back.
//! - `generate_indonesian`, `kids_stories_pipeline`, `next_word_portuguese`, `generate_japanese`,
//!   `generate_czech`: a published model each, used as its card says.
//!
//! - `train_indonesian`, `train_portuguese`, `train_japanese_from_scratch`, `train_czech`: such a model trained by
//!   its recipe, on your corpus or, in small, on a text of this project.
//!
//! This library holds what the programs share: their command lines, the run of those that train, and
//! the small model that they make where they are given none.

mod home_made;
mod options;
pub mod training;

pub use home_made::home_made;
pub use options::{Failure, Options, exit_code, run};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So does the one about LoRA.
#[cfg(doctest)]
#[doc = include_str!("../docs/lora.md")]
struct Lora;
