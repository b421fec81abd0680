//! What `gpt2 train` writes for people to look at while it trains.

use std::path::Path;

use gpt2_core::Gpt2;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_infer::{GenerationConfig, generate};
use gpt2_train::report::{Report, RunLog, Sample, SamplerError};

/// Longest sample, in tokens.
const SAMPLE_LENGTH: usize = 64;

/// Log, event files and page of a run; with texts of the model where there is a tokenizer.
pub fn run_log<'a>(
    folder: &Path,
    report: Report,
    tokenizer: Option<&'a Tokenizer>,
    prompts: &'a [String],
    seed: u64,
) -> RunLog<'a> {
    let log = RunLog::new(folder, report).with_tensorboard();
    match tokenizer {
        None => log,
        Some(tokenizer) => log.with_samples(move |model| samples(model, tokenizer, prompts, seed)),
    }
}

/// One text for each prompt; without prompts, one from nothing.
fn samples(
    model: &Gpt2,
    tokenizer: &Tokenizer,
    prompts: &[String],
    seed: u64,
) -> Result<Vec<Sample>, SamplerError> {
    let config = model.config();
    let from_nothing = || config.bos_token_id.or(config.eos_token_id.first().copied());
    let starts: Vec<(String, Vec<u32>)> = match prompts {
        [] => from_nothing().map(|id| (String::new(), vec![id])).into_iter().collect(),
        _ => prompts
            .iter()
            .map(|prompt| Ok((prompt.clone(), tokenizer.encode_ids(prompt)?)))
            .collect::<Result<_, SamplerError>>()?,
    };
    let mut found = Vec::new();
    for (prompt, ids) in starts {
        let room = config.n_positions.saturating_sub(ids.len());
        if ids.is_empty() || room == 0 {
            continue;
        }
        let options = GenerationConfig {
            do_sample: true,
            top_k: 40,
            max_new_tokens: Some(SAMPLE_LENGTH.min(room)),
            // One seed for all: what changes from one evaluation to the next is the model.
            seed: Some(seed),
            eos_token_id: config.eos_token_id.clone(),
            ..GenerationConfig::default()
        };
        let length = ids.len();
        for text in generate(model, &[ids], &options)?.into_iter().flatten() {
            let (given, added) = text.ids.split_at(length);
            let text = tokenizer.decode_continuation(given, added, true)?;
            found.push(Sample { prompt: prompt.clone(), text });
        }
    }
    Ok(found)
}
