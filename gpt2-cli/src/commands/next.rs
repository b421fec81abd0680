//! `gpt2 next`.

use std::path::PathBuf;

use clap::Args;
use gpt2_infer::next_tokens;
use serde_json::{Value, json};

use super::generation::GenerationArgs;
use super::load::LoadArgs;
use super::prompts::{Prompt, encode, have_text};
use super::{Outcome, tokenizer_for};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Model folder or hub id
    model: PathBuf,
    #[command(flatten)]
    prompt: OnePrompt,
    /// How many tokens to show
    #[arg(long, value_name = "K", default_value_t = 1)]
    top: usize,
    /// Show probabilities after the logits processors that the options of generation ask for
    #[arg(long)]
    processed: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    options: GenerationArgs,
}

/// The prompt.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct OnePrompt {
    /// The prompt
    #[arg(long, value_name = "T")]
    prompt: Option<String>,
    /// The prompt as token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    prompt_ids: Vec<u32>,
}

/// The likeliest next tokens, the likeliest first.
pub fn run(args: &NextArgs, global: &Global) -> Outcome {
    if !args.processed && args.options.is_any() {
        return Err("options of generation need `--processed`".into());
    }
    let folder = global.open(&args.model)?;
    let prompts = [match &args.prompt.prompt {
        Some(prompt) => Prompt::Text { prompt: prompt.clone() },
        None => Prompt::Ids { prompt_ids: args.prompt.prompt_ids.clone() },
    }];
    let tokenizer = tokenizer_for(&folder, have_text(&prompts))?;
    let ids = encode(&prompts, tokenizer.as_ref())?.concat();
    // Options that are not used are not read either: the folder may have some that are refused.
    let config = args.processed.then(|| args.options.config(&folder)).transpose()?;
    let model = args.load.model(&folder, &global.device()?)?;
    let candidates = next_tokens(&model, &ids, args.top, config.as_ref())?;
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
