//! Continues prompts with nothing but a model and options.

use std::ops::ControlFlow;

use gpt2_core::Gpt2;

use crate::{GenerationConfig, Generator, Result, Sequence, Token};

/// Continues each prompt, as `num_return_sequences` sequences: [`Generator::generate`] of a
/// generator that holds the model alone, for a single call.
///
/// # Errors
/// As [`Generator::generate`].
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::{GenerationConfig, generate};
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let config = GenerationConfig { max_new_tokens: Some(5), ..GenerationConfig::default() };
/// let sequences = generate(&model, &[vec![464, 2068], vec![15496]], &config)?;
/// assert_eq!(sequences[1][0].continuation().len(), 5);
/// # Ok(())
/// # }
/// ```
pub fn generate(
    model: &Gpt2,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Vec<Sequence>>> {
    Generator::new(model).generate(prompts, config)
}

/// As [`generate`], and hands every token to `on_token` as soon as it is chosen:
/// [`Generator::generate_with`] for a single call.
///
/// # Errors
/// As [`Generator::generate_with`].
pub fn generate_with(
    model: &Gpt2,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    on_token: impl FnMut(Token) -> ControlFlow<()>,
) -> Result<Vec<Vec<Sequence>>> {
    Generator::new(model).generate_with(prompts, config, on_token)
}
