//! `gpt2 generate`.

use std::path::PathBuf;

use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Error, ModelFolder};
use gpt2_infer::{GenerationConfig, Generator, Sequence};
use serde_json::{Value, json};

use super::corpus::EncodingArgs;
use super::generation::GenerationArgs;
use super::load::LoadArgs;
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
    #[command(flatten)]
    encoding: EncodingArgs,
    /// Write the text as it is made (one prompt, one sequence)
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    /// Leave special tokens out of the text
    #[arg(long)]
    skip_special_tokens: bool,
    /// Report the log-probability of every new token, by the model and as processed
    #[arg(long, requires = "json")]
    log_probs: bool,
    /// A smaller model of the same vocabulary that guesses tokens; the same text, sooner
    #[arg(long, value_name = "MODEL")]
    draft_model: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    options: GenerationArgs,
}

/// Continues every prompt.
pub fn run(args: &GenerateArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let prompts = args.prompts.read(args.encoding.encoding_errors)?;
    let config = options(args, &folder)?;
    let texts = have_text(&prompts) || args.stream || !config.stop_strings.is_empty();
    let tokenizer = tokenizer_for(&folder, texts)?;
    let ids = encode(&prompts, tokenizer.as_ref())?;
    let generator = generator(args, global, &folder, tokenizer.as_ref())?;
    if args.stream {
        return stream(args, &generator, tokenizer.is_some(), &ids, &config);
    }
    let results = generator.generate(&ids, &config)?;
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

/// The options of generation, checked before the weights are read.
fn options(args: &GenerateArgs, folder: &ModelFolder) -> Result<GenerationConfig, Failure> {
    let mut config = args.options.config(folder)?;
    config.log_probs |= args.log_probs;
    config.validate(folder.config())?;
    Ok(config)
}

/// The model, and what generation needs beside it.
fn generator(
    args: &GenerateArgs,
    global: &Global,
    folder: &ModelFolder,
    tokenizer: Option<&Tokenizer>,
) -> Result<Generator, Failure> {
    let device = global.device()?;
    let mut generator = Generator::new(&args.load.model(folder, &device)?);
    if let Some(tokenizer) = tokenizer {
        generator = generator.with_tokenizer(tokenizer);
    }
    if let Some(draft_model) = &args.draft_model {
        generator =
            generator.with_draft_model(&args.load.model(&global.open(draft_model)?, &device)?)?;
    }
    Ok(generator)
}

fn object((sequence, text): (&Sequence, Option<String>)) -> Value {
    let mut object = json!({
        "ids": sequence.ids,
        "text": text,
        "score": sequence.score,
        "finish_reason": sequence.finish_reason.name(),
    });
    if let Some(log_probs) = &sequence.log_probs {
        let list = log_probs.iter();
        object["log_probs"] =
            list.map(|of| json!({ "model": of.model, "processed": of.processed })).collect();
    }
    object
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
    generator: &Generator,
    has_tokenizer: bool,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Outcome {
    let ([prompt], 1) = (prompts, config.num_return_sequences) else {
        return Err("`--stream` writes one sequence of one prompt".into());
    };
    if !has_tokenizer {
        return Err("`--stream` needs a tokenizer in the model folder".into());
    }
    let stream = generator.stream(prompt, config, args.skip_special_tokens)?;
    // The prompt waits for the first piece: where nothing can be generated, nothing is written.
    let mut prompt = Some(stream.prompt_text().to_string());
    for piece in stream {
        let text = piece?.text;
        output::piece(&(prompt.take().unwrap_or_default() + &text))?;
    }
    Ok(output::line("")?)
}
