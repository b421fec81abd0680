//! Measuring the speed of generation, with what [`Generator::generate`] runs.

use gpt2_core::Gpt2;
use gpt2_core::bench::{Measurement, Shape, seconds};

use crate::{GenerationConfig, Generator, Result};

/// Tokens of the prompt that [`decode`] is measured with, where nothing else is asked for.
pub const PROMPT_TOKENS: usize = 16;

/// Tokens that [`decode`] generates for each prompt.
pub const NEW_TOKENS: usize = 64;

/// New tokens per second when [`NEW_TOKENS`] are generated greedily behind each of `prompts`;
/// reading the prompts is part of the time.
///
/// # Errors
/// As [`Generator::generate`]: prompts that leave no room in the context are refused.
pub fn decode(model: &Gpt2, prompts: Shape, repeats: usize) -> Result<Measurement> {
    let seconds = generation(model, prompts, NEW_TOKENS, repeats)?;
    let what = format!("decode batch {}", prompts.batch);
    Ok(Measurement::rate(what, prompts.batch * NEW_TOKENS, &seconds).of(model))
}

/// Seconds until the first token of each of `prompts` is there.
///
/// # Errors
/// As [`Generator::generate`].
pub fn first_token(model: &Gpt2, prompts: Shape, repeats: usize) -> Result<Measurement> {
    let seconds = generation(model, prompts, 1, repeats)?;
    Ok(Measurement::time(format_args!("first token {prompts}"), &seconds).of(model))
}

/// Seconds of generating exactly `new_tokens` tokens behind each prompt.
fn generation(model: &Gpt2, prompts: Shape, new_tokens: usize, repeats: usize) -> Result<Vec<f64>> {
    let generator = Generator::new(model);
    let rows = prompts.ids(model.config());
    // The default has no token that ends a text.
    let options =
        GenerationConfig { max_new_tokens: Some(new_tokens), ..GenerationConfig::default() };
    seconds(&model.device(), repeats, || generator.generate(&rows, &options))
}
