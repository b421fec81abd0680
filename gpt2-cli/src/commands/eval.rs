//! `gpt2 eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gpt2_core::ModelFolder;
use gpt2_train::data::{
    self, ShardFolder, Split, SplitBy, TextUnit, block_size, find_files, read_corpus,
};
use gpt2_train::{Dataset, Error, Evaluation, evaluate};
use indicatif::{ProgressBar, ProgressStyle};

use super::corpus::{
    DocumentSeparator, EncodingArgs, Model, have_text, made_before, shard_folder, shards, tokenize,
};
use super::load::LoadArgs;
use super::{Failure, Outcome, tokenizer_for};
use crate::args::{Global, positive};
use crate::output;

/// Options of `gpt2 eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// Files, folders of them or patterns such as 'stories/*.txt'; `.txt` (one text each), `.jsonl` (`text`, or
    /// `input_ids` and `labels`), or one folder made by `gpt2 data tokenize`
    #[arg(long, required = true, num_args = 1.., value_name = "F")]
    data: Vec<PathBuf>,
    /// Part of a folder made by `gpt2 data tokenize` [default: the only one]
    #[arg(long, value_enum, value_name = "PART")]
    split: Option<Part>,
    #[command(flatten)]
    encoding: EncodingArgs,
    /// What stands between documents [default: eos, if the tokenizer has one]
    #[arg(long, value_enum, value_name = "WHAT")]
    document_separator: Option<DocumentSeparator>,
    /// Tokens of a block [default: the model's context]
    #[arg(long, value_name = "N")]
    block_size: Option<usize>,
    /// Tokens from one window to the next; blocks do not overlap without it
    #[arg(long, value_name = "N")]
    stride: Option<usize>,
    /// Sequences that are computed together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    per_device_batch_size: usize,
    #[command(flatten)]
    load: LoadArgs,
}

/// A part of a corpus.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Valid,
    Test,
}

/// Token-weighted loss over the joined text.
pub fn run(args: &EvalArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let dataset = dataset(args, &folder)?;
    let model = args.load.model(&folder, &global.device()?)?;
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
    if let Some(shards) = shard_folder(&args.data)? {
        return of_shards(&shards, args, folder, block_size);
    }
    if args.split.is_some() {
        return Err("`split` is for folders made by `gpt2 data tokenize`".into());
    }
    let files = find_files(&args.data)?;
    let options = args.encoding.of(TextUnit::File);
    let documents = read_corpus(&files, options, SplitBy::Nothing, config)?.train;
    let tokenizer = tokenizer_for(folder, have_text(&documents))?;
    let tokenized = tokenize(documents, tokenizer.as_ref())?;
    let separator = DocumentSeparator::id(args.document_separator, tokenizer.as_ref())?;
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

/// A part of a folder of shards in blocks.
fn of_shards(
    shard_folder: &ShardFolder,
    args: &EvalArgs,
    folder: &ModelFolder,
    block_size: usize,
) -> Result<Dataset, Failure> {
    if args.document_separator.is_some() {
        return Err(made_before("document-separator", shard_folder.path()));
    }
    if args.stride.is_some() {
        return Err("`stride` is for texts, not for folders made by `gpt2 data tokenize`".into());
    }
    let there: Vec<Split> = shard_folder.manifest().splits.keys().copied().collect();
    let part = match (args.split, &there[..]) {
        (Some(Part::Train), _) => Split::Train,
        (Some(Part::Valid), _) => Split::Valid,
        (Some(Part::Test), _) => Split::Test,
        (None, [only]) => *only,
        (None, _) => {
            let there: Vec<&str> = there.iter().map(|split| split.name()).collect();
            let folder = shard_folder.path().display();
            return Err(format!("{folder}: expected `--split`: {}", there.join(", ")).into());
        }
    };
    let tokenizer = tokenizer_for(folder, false)?;
    let model = Model { config: folder.config(), tokenizer: tokenizer.as_ref(), block_size };
    shards(shard_folder, "evaluation", part, &model)
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
