//! `gpt2 next`.

use std::path::PathBuf;

use clap::Args;
use gpt2_infer::next_tokens;
use serde_json::{Value, json};

use super::Outcome;
use super::generate::{GenerationArgs, Prompt, encode, tokenizer_for};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// The prompt
    #[arg(long, value_name = "T", required_unless_present = "prompt_ids")]
    prompt: Option<String>,
    /// The prompt as token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', conflicts_with = "prompt")]
    prompt_ids: Vec<u32>,
    /// How many tokens to show
    #[arg(long, value_name = "K", default_value_t = 1)]
    top: usize,
    /// Show probabilities after the logits processors of the generation options
    #[arg(long)]
    processed: bool,
    #[command(flatten)]
    options: GenerationArgs,
}

/// The likeliest next tokens, the likeliest first.
pub fn run(args: &NextArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let prompt = match &args.prompt {
        Some(prompt) => Prompt::Text { prompt: prompt.clone() },
        None => Prompt::Ids { prompt_ids: args.prompt_ids.clone() },
    };
    let tokenizer = tokenizer_for(&folder, std::slice::from_ref(&prompt))?;
    let ids = encode(std::slice::from_ref(&prompt), tokenizer.as_ref())?.concat();
    let config = args.options.config(&folder)?;
    let model = folder.model(&global.device()?)?;
    let candidates = next_tokens(&model, &ids, args.top, args.processed.then_some(&config))?;
    let mut objects: Vec<Value> = Vec::new();
    for candidate in candidates {
        let token = match &tokenizer {
            Some(tokenizer) => Some(tokenizer.decode(&[candidate.id], false)?),
            None => None,
        };
        objects.push(json!({
            "id": candidate.id,
            "token": token,
            "probability": candidate.probability,
        }));
    }
    if global.json {
        return Ok(output::json(&json!({ "candidates": objects }))?);
    }
    for object in objects {
        let probability = object["probability"].as_f64().unwrap_or_default();
        output::line(format_args!("{probability:.6}  {:>6}  {}", object["id"], object["token"]))?;
    }
    Ok(())
}
