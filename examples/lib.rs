//! Programs that show what the GPT-2 crates are for; each is an example of this package.
//!
//! - `finetune_kids_stories`: from children's stories to a published model folder and back.

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
