//! `gpt2 eval`.

use std::path::PathBuf;

use clap::Args;
use gpt2_train::data::{self, read_text};
use gpt2_train::{Dataset, evaluate};
use indicatif::ProgressBar;

use super::{Failure, Outcome, read_all, tokenize};
use crate::args::Global;
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
    #[arg(long, value_name = "N", default_value_t = 8)]
    per_device_batch_size: usize,
}

/// Token-weighted loss over the joined text.
pub fn run(args: &EvalArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let config = folder.config();
    let block_size = args.block_size.unwrap_or(config.n_positions);
    check_sizes(block_size, args.stride, config.n_positions)?;
    let tokenizer = folder.tokenizer_if_any()?;
    let tokenized = tokenize(read_all(&args.data, |file| read_text(file))?, tokenizer.as_ref())?;
    let separator = tokenizer.as_ref().and_then(|tokenizer| tokenizer.eos_token_id());
    let mut examples = match args.stride {
        None => data::blocks(&tokenized.texts, separator, block_size),
        Some(stride) => {
            let stream = data::join(&tokenized.texts, separator);
            data::window_examples(&stream, block_size, stride)
        }
    };
    examples.extend(tokenized.records);
    let dataset = Dataset::new("validation", examples, config)?;
    let model = folder.model(&global.device()?)?;
    let bar = match global.quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(dataset.examples().len() as u64),
    };
    let found = evaluate(&model, &dataset, args.per_device_batch_size, |done| {
        bar.set_position(done as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    if global.json {
        output::json(&found)?;
    } else {
        output::line(format_args!("loss        {:.6} nats per token", found.loss))?;
        output::line(format_args!("perplexity  {:.4}", found.perplexity))?;
        output::line(format_args!("accuracy    {:.4}", found.accuracy))?;
        output::line(format_args!("tokens      {}", found.tokens))?;
        output::line(format_args!("seconds     {:.2}", found.seconds))?;
    }
    Ok(())
}

fn check_sizes(
    block_size: usize,
    stride: Option<usize>,
    n_positions: usize,
) -> Result<(), Failure> {
    if block_size < 2 || block_size > n_positions {
        let expected = format!("2 to n_positions = {n_positions}");
        return Err(format!("`block-size` is {block_size}, expected {expected}").into());
    }
    match stride {
        Some(stride) if stride == 0 || stride > block_size => {
            Err(format!("`stride` is {stride}, expected 1 to block-size = {block_size}").into())
        }
        _ => Ok(()),
    }
}
