//! `gpt2 data`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::TrainingConfig;
use gpt2_train::data::{Manifest, TokenizeOptions, TokenizeProgress, find_files, tokenize_files};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::clean::{self, CleanArgs};
use super::corpus::{DocumentSeparator, EncodingArgs, SplitArgs};
use super::wiki::{self, WikiArgs};
use super::{Failure, Outcome, check_output};
use crate::args::Global;
use crate::output;

/// What can be done with data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Turn texts of any size into a folder of token ids that `gpt2 train --data` reads
    Tokenize(TokenizeArgs),
    /// Turn dumps of Wikipedia into files of prose
    Wiki(WikiArgs),
    /// Normalize texts, drop short and repeated ones, divide them into sentences
    Clean(CleanArgs),
}

/// Options of `gpt2 data tokenize`.
#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// Files, folders of them or patterns such as 'stories/*.txt'; `.txt` (blank lines separate documents) or `.jsonl`
    /// (`text`)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder with the tokenizer, such as a model folder
    #[arg(long, value_name = "DIR")]
    tokenizer: PathBuf,
    /// Folder to write; the same command goes on where it was interrupted
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How bytes become text.
    #[command(flatten)]
    encoding: EncodingArgs,
    /// What stands between documents [default: eos, if the tokenizer has one]
    #[arg(long, value_enum, value_name = "WHAT")]
    document_separator: Option<DocumentSeparator>,
    /// How documents are held out.
    #[command(flatten)]
    split: SplitArgs,
    /// Seed of `--valid-fraction`; the default is that of `gpt2 train`
    #[arg(long, value_name = "N", default_value_t = TrainingConfig::default().seed)]
    seed: u64,
    /// Tokens of a file of the folder
    #[arg(long, value_name = "N", default_value_t = TokenizeOptions::default().shard_tokens)]
    shard_tokens: u64,
    /// Replace what another such command has made of other files or with other options
    #[arg(long)]
    overwrite: bool,
}

/// Does what is asked for.
pub fn run(command: &DataCommand, global: &Global) -> Outcome {
    match command {
        DataCommand::Tokenize(args) => tokenize(args, global),
        DataCommand::Wiki(args) => wiki::run(args, global),
        DataCommand::Clean(args) => clean::run(args, global),
    }
}

fn tokenize(args: &TokenizeArgs, global: &Global) -> Outcome {
    let start = Instant::now();
    let files = find_files(&args.files)?;
    let mut inputs: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    inputs.push(&args.tokenizer);
    check_output(&args.output, &inputs)?;
    let tokenizer = Tokenizer::from_folder(&args.tokenizer)?;
    let options = TokenizeOptions {
        separator: DocumentSeparator::id(args.document_separator, Some(&tokenizer))?,
        split: args.split.by(args.seed),
        shard_tokens: args.shard_tokens,
        encoding_errors: args.encoding.encoding_errors,
        overwrite: args.overwrite,
        ..TokenizeOptions::default()
    };
    let bar = bar(&files, global)?;
    let manifest = tokenize_files(&files, &tokenizer, &args.output, &options, &|progress| {
        show(&bar, progress);
    });
    bar.finish_and_clear();
    report(&manifest?, start.elapsed().as_secs_f64(), args, global)
}

/// A bar on standard error, where that is a terminal.
pub fn bar(files: &[PathBuf], global: &Global) -> Result<ProgressBar, Failure> {
    if global.quiet {
        return Ok(ProgressBar::hidden());
    }
    let sizes = files.iter().map(|file| file.metadata().map_or(0, |file| file.len()));
    let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::new(sizes.sum()).with_style(ProgressStyle::with_template(template)?);
    Ok(bar.with_message("checking"))
}

fn show(bar: &ProgressBar, progress: TokenizeProgress) {
    match progress {
        TokenizeProgress::Checked(bytes) => bar.inc(bytes),
        TokenizeProgress::Tokenized { bytes, total } => {
            if bar.message() == "checking" {
                bar.reset();
                bar.set_message("tokenizing");
                bar.set_length(total);
            }
            bar.set_position(bytes);
        }
        _ => {}
    }
}

fn report(manifest: &Manifest, seconds: f64, args: &TokenizeArgs, global: &Global) -> Outcome {
    let mut splits = Map::new();
    for (split, entry) in &manifest.splits {
        let shards = entry.shards.len();
        let counts =
            json!({ "documents": entry.documents, "tokens": entry.tokens, "shards": shards });
        splits.insert(split.name().to_string(), counts);
    }
    let sum = |field: &str| splits.values().filter_map(|counts| counts[field].as_u64()).sum();
    let [documents, tokens, shards]: [u64; 3] = ["documents", "tokens", "shards"].map(sum);
    if global.json {
        return Ok(output::json(&json!({
            "documents": documents, "tokens": tokens, "shards": shards, "splits": splits,
            "seconds": seconds,
        }))?);
    }
    for (name, counts) in &splits {
        output::line(line(name, counts))?;
    }
    if global.is_chatty() {
        eprintln!("{} holds {tokens} tokens", args.output.display());
    }
    Ok(())
}

fn line(name: &str, counts: &Value) -> String {
    let [documents, tokens, shards] = ["documents", "tokens", "shards"].map(|key| &counts[key]);
    format!("{name:<6} {documents} documents, {tokens} tokens, {shards} shards")
}
