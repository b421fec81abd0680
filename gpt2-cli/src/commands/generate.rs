//! `gpt2 generate`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Error, Gpt2};
use gpt2_infer::{FinishReason, GenerationConfig, Sequence, generate, generate_with};
use serde_json::{Value, json};

use super::generation::GenerationArgs;
use super::prompts::{Prompt, PromptArgs, encode, have_text};
use super::{Failure, Outcome, tokenizer_for};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Model folder or hub id
    model: PathBuf,
    #[command(flatten)]
    prompts: PromptArgs,
    /// Write the text as it is made (one prompt, one sequence)
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    /// Leave special tokens out of the text
    #[arg(long)]
    skip_special_tokens: bool,
    #[command(flatten)]
    options: GenerationArgs,
}

/// Continues every prompt.
pub fn run(args: &GenerateArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let prompts = args.prompts.read()?;
    let tokenizer = tokenizer_for(&folder, have_text(&prompts))?;
    let ids = encode(&prompts, tokenizer.as_ref())?;
    let config = args.options.config(&folder)?;
    config.validate(folder.config())?;
    let model = folder.model(&global.device()?)?;
    if args.stream {
        return stream(args, &model, tokenizer.as_ref(), &ids, &config);
    }
    let results = generate(&model, &ids, &config)?;
    let mut separator = None;
    for (prompt, sequences) in prompts.iter().zip(results) {
        let prompt_ids = sequences.first().map_or(&[][..], |s| &s.ids[..s.prompt_length]);
        let texts = sequences
            .iter()
            .map(|sequence| text(sequence, tokenizer.as_ref(), args.skip_special_tokens))
            .collect::<Result<Vec<_>, _>>()?;
        if global.json {
            let list: Vec<Value> = sequences.iter().zip(texts).map(object).collect();
            let prompt = match prompt {
                Prompt::Text { prompt } => Some(prompt),
                Prompt::Ids { .. } => None,
            };
            let line = json!({ "prompt": prompt, "prompt_ids": prompt_ids, "sequences": list });
            output::json(&line)?;
        } else {
            for (sequence, text) in sequences.iter().zip(texts) {
                // Texts have lines of their own; a rule tells where one ends.
                separator.replace("---").map_or(Ok(()), output::line)?;
                output::line(text.unwrap_or_else(|| format!("{:?}", sequence.ids)))?;
            }
        }
    }
    Ok(())
}

fn object((sequence, text): (&Sequence, Option<String>)) -> Value {
    let finish_reason = match sequence.finish_reason {
        FinishReason::Eos => "eos",
        FinishReason::Length => "length",
        _ => "cancelled",
    };
    json!({
        "ids": sequence.ids,
        "text": text,
        "score": sequence.score,
        "finish_reason": finish_reason,
    })
}

fn text(
    sequence: &Sequence,
    tokenizer: Option<&Tokenizer>,
    skip_special_tokens: bool,
) -> Result<Option<String>, Error> {
    tokenizer.map(|tokenizer| tokenizer.decode(&sequence.ids, skip_special_tokens)).transpose()
}

/// Writes the prompt and then every piece of text that is complete.
fn stream(
    args: &GenerateArgs,
    model: &Gpt2,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Outcome {
    let ([prompt], 1) = (prompts, config.num_return_sequences) else {
        return Err("`--stream` writes one sequence of one prompt".into());
    };
    let tokenizer = tokenizer.ok_or("`--stream` needs a tokenizer in the model folder")?;
    let mut decoder = tokenizer.decode_stream(args.skip_special_tokens);
    let mut failure: Option<Failure> = None;
    let mut write = |id: u32| -> Outcome {
        if let Some(piece) = decoder.push(id)? {
            output::piece(&piece)?;
        }
        Ok(())
    };
    // The prompt waits for the first token: where nothing can be generated, nothing is written.
    let mut unwritten = prompt.as_slice();
    generate_with(model, prompts, config, |token| {
        let ids = std::mem::take(&mut unwritten).iter().copied().chain([token.id]);
        match ids.into_iter().try_for_each(&mut write) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(output::line(decoder.finish()?.unwrap_or_default())?)
}
