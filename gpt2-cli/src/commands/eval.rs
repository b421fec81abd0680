//! `gpt2 eval`.

use std::path::PathBuf;

use clap::Args;
use gpt2_core::ModelFolder;
use gpt2_train::data::{self, block_size, read_text};
use gpt2_train::{Dataset, Error, Evaluation, evaluate};
use indicatif::{ProgressBar, ProgressStyle};

use super::corpus::{have_text, read_all, tokenize};
use super::{Failure, Outcome, tokenizer_for};
use crate::args::{Global, positive};
use crate::output;

/// Options of `gpt2 eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// Text files (`.txt`: one text each) or JSON lines (`text`, or `input_ids` and `labels`)
    #[arg(long, required = true, num_args = 1.., value_name = "F")]
    data: Vec<PathBuf>,
    /// Tokens of a block [default: the model's context]
    #[arg(long, value_name = "N")]
    block_size: Option<usize>,
    /// Tokens from one window to the next; blocks do not overlap without it
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Sequences that are computed together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    per_device_batch_size: usize,
}

/// Token-weighted loss over the joined text.
pub fn run(args: &EvalArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let dataset = dataset(args, &folder)?;
    let model = folder.model(&global.device()?)?;
    let bar = bar(dataset.len(), global.quiet);
    let found = evaluate(&model, &dataset, args.per_device_batch_size, |done| {
        bar.set_position(done as u64);
        Ok(())
    });
    bar.finish_and_clear();
    let found = found?;
    if global.json {
        output::json(&found)?;
    } else {
        output::line(text(&found))?;
    }
    Ok(())
}

/// The text in blocks or windows, and the records that are tokens already.
fn dataset(args: &EvalArgs, folder: &ModelFolder) -> Result<Dataset, Failure> {
    let config = folder.config();
    let block_size = block_size(args.block_size, config)?;
    if let Some(stride) = args.stride
        && (stride == 0 || stride > block_size)
    {
        let expected = format!("1 to block_size = {block_size}");
        return Err(Error::Option { option: "stride", found: stride.to_string(), expected }.into());
    }
    let documents = read_all(&args.data, "evaluation", config, |file| read_text(file))?;
    let tokenizer = tokenizer_for(folder, have_text(&documents))?;
    let tokenized = tokenize(documents, tokenizer.as_ref())?;
    let separator = tokenizer.as_ref().and_then(|tokenizer| tokenizer.eos_token_id());
    let mut examples = match args.stride {
        None => data::blocks(&tokenized.texts, separator, block_size),
        Some(stride) => {
            let stream = data::join(&tokenized.texts, separator);
            data::window_examples(&stream, block_size, stride)
        }
    };
    examples.extend(tokenized.records);
    Ok(Dataset::new("evaluation", examples, config)?)
}

/// A bar on standard error, where that is a terminal.
fn bar(sequences: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(sequences as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} sequences  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text(found: &Evaluation) -> String {
    output::list([
        ("loss", format!("{:.6} nats per token", found.loss)),
        ("perplexity", format!("{:.4}", found.perplexity)),
        ("accuracy", format!("{:.2} %", 100.0 * found.accuracy)),
        ("tokens", found.tokens.to_string()),
        ("seconds", format!("{:.2}", found.seconds)),
    ])
}
