//! Measuring the speed of generation, with what [`Generator::generate`] runs.

use gpt2_core::Gpt2;
use gpt2_core::bench::{Measurement, Shape, Work, seconds};

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
    let work = Work::of_generation(model, prompts, NEW_TOKENS);
    let (what, tokens) = (format!("decode batch {}", prompts.batch), prompts.batch * NEW_TOKENS);
    let measured = Measurement::rate(what, tokens, &seconds, work, &model.device());
    Ok(measured.in_type(model.weight_dtype()))
}

/// Seconds until the first token of each of `prompts` is there.
///
/// # Errors
/// As [`Generator::generate`].
pub fn first_token(model: &Gpt2, prompts: Shape, repeats: usize) -> Result<Measurement> {
    let seconds = generation(model, prompts, 1, repeats)?;
    let work = Work::of_generation(model, prompts, 1);
    let measured =
        Measurement::time(format_args!("first token {prompts}"), &seconds, work, &model.device());
    Ok(measured.in_type(model.weight_dtype()))
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
