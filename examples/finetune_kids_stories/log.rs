//! What there is to watch while the model is trained.

use gpt2_core::Gpt2;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_examples::Failure;
use gpt2_infer::{GenerationConfig, generate};
#[cfg(feature = "dashboard")]
use gpt2_train::report::Dashboard;
use gpt2_train::report::{ModelCard, Report, RunLog, Sample, SamplerError, TrainingProgress};
use gpt2_train::{Callback, Recipe};

use crate::options::Options;

/// Stories on the page for each evaluation.
const STORIES: usize = 2;

/// What the terminal shows; it goes when this is dropped.
pub fn screen(options: &Options) -> Result<Box<dyn Callback>, Failure> {
    #[cfg(feature = "dashboard")]
    if options.dashboard {
        return Ok(Box::new(Dashboard::new()?));
    }
    Ok(Box::new(TrainingProgress::new(options.quiet)))
}

/// A log of the run in the output folder, with stories as they come to be.
pub fn log<'a>(options: &Options, card: &ModelCard, tokenizer: &'a Tokenizer) -> RunLog<'a> {
    let recipe = Recipe::from(&options.training);
    let report = Report::new(&card.name, &card.summary, &options.training, &recipe);
    let prompt = options.prompt.clone();
    let generation = GenerationConfig {
        do_sample: true,
        top_k: options.top_k,
        temperature: options.temperature,
        max_new_tokens: Some(options.max_new_tokens),
        num_return_sequences: STORIES,
        // One seed for all: what changes from one evaluation to the next is the model.
        seed: Some(options.training.seed),
        eos_token_id: tokenizer.eos_token_id().into_iter().collect(),
        ..GenerationConfig::default()
    };
    let sampler = move |model: &Gpt2| stories(model, tokenizer, &prompt, &generation);
    RunLog::new(&options.output, report).with_tensorboard().with_samples(sampler)
}

fn stories(
    model: &Gpt2,
    tokenizer: &Tokenizer,
    prompt: &str,
    generation: &GenerationConfig,
) -> Result<Vec<Sample>, SamplerError> {
    let ids = tokenizer.encode_ids(prompt)?;
    let room = model.config().n_positions.saturating_sub(ids.len());
    let max_new_tokens = generation.max_new_tokens.map(|most| most.min(room));
    let generation = GenerationConfig { max_new_tokens, ..generation.clone() };
    let prompt_length = ids.len();
    let found = generate(model, &[ids], &generation)?;
    let sample = |ids: &[u32]| -> Result<Sample, SamplerError> {
        let (given, added) = ids.split_at(prompt_length);
        let text = tokenizer.decode_continuation(given, added, true)?;
        Ok(Sample { prompt: prompt.to_string(), text })
    };
    found.iter().flatten().map(|story| sample(&story.ids)).collect()
}
