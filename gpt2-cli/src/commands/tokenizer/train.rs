//! `gpt2 tokenizer train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use gpt2_core::folder::{check_known, write_known};
use gpt2_core::tokenizer::{
    BpeTrainer, Forgotten, Tokenizer, TrainBpeOptions, TrainProgress, TrainUnigramOptions,
    UnigramTrainer,
};
use gpt2_train::data::{TextBatches, find_files};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::unigram::UnigramArgs;
use crate::args::{Global, positive};
use crate::commands::corpus::EncodingArgs;
use crate::commands::{Failure, Outcome, check_output};
use crate::output;

/// What is in the folder, in messages.
const WHAT: &str = "a tokenizer";

/// Kinds of tokenizer that can be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// GPT-2's byte-level BPE: vocab.json, merges.txt and tokenizer.json
    Bbpe,
    /// SentencePiece's unigram model: spiece.model
    Unigram,
}

/// Options of `gpt2 tokenizer train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Files, folders of them or patterns such as 'stories/*.txt'; `.txt` (every line is a text) or `.jsonl` (`text`)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What is learned
    #[arg(long, value_enum)]
    kind: Kind,
    /// Tokens to learn, special ones included
    #[arg(long, value_name = "N", value_parser = positive)]
    vocab_size: usize,
    /// Folder to write; an earlier tokenizer there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Special token; may be given again. With bbpe they get the first ids, with unigram they are control symbols
    #[arg(long = "special-token", value_name = "T")]
    special_tokens: Vec<String>,
    /// bbpe: pairs that occur less often are not merged [default: 2]
    #[arg(long, value_name = "N")]
    min_frequency: Option<u64>,
    /// Whether texts that yield fewer tokens than asked for are refused [default: false with bbpe, true with unigram]
    #[arg(long, value_name = "BOOL")]
    hard_vocab_limit: Option<bool>,
    /// Memory for learning, in bytes or as 500M or 2G; rare words are forgotten where it is too little [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
    /// How the files are read.
    #[command(flatten)]
    encoding: EncodingArgs,
    /// Of unigram alone.
    #[command(flatten)]
    unigram: Option<UnigramArgs>,
}

/// Parses a number of bytes, with K, M or G for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let unit = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << bits));
    bytes.ok_or_else(|| "expected a number of bytes, such as 500M or 2G".to_string())
}

impl TrainArgs {
    fn texts<'a>(&self, files: &'a [PathBuf]) -> TextBatches<'a> {
        TextBatches::new(files, self.encoding.encoding_errors)
    }
}

/// Learns a tokenizer and writes it.
pub fn run(args: &TrainArgs, global: &Global) -> Outcome {
    let start = Instant::now();
    let files = find_files(&args.files)?;
    check_output(&args.output, &files.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    // Asked before the work, not after minutes of it.
    check_known(&args.output, WHAT, Tokenizer::is_file_name)?;
    let bar = Bar::new(&files, global)?;
    let (tokenizer, forgotten) = match args.kind {
        Kind::Bbpe => learn_bpe(args, &files, &bar)?,
        Kind::Unigram => learn_unigram(args, &files, &bar)?,
    };
    bar.0.finish_and_clear();
    let save = |folder: &Path| tokenizer.save(folder);
    write_known(&args.output, WHAT, Tokenizer::is_file_name, save)?;
    let (vocab_size, seconds) = (tokenizer.vocab_size(), start.elapsed().as_secs_f64());
    if global.is_chatty() {
        tell(args, vocab_size, forgotten);
    }
    if global.json {
        return Ok(output::json(&json!({ "vocab_size": vocab_size, "seconds": seconds }))?);
    }
    Ok(output::line(output::list([("vocab_size", vocab_size.to_string())]))?)
}

fn tell(args: &TrainArgs, vocab_size: usize, forgotten: Forgotten) {
    if vocab_size < args.vocab_size {
        eprintln!("the texts yield {vocab_size} tokens, fewer than {}", args.vocab_size);
    }
    let Forgotten { words, occurrences, .. } = forgotten;
    if words > 0 {
        eprintln!("--memory-limit: {words} rare words were forgotten ({occurrences} occurrences)");
    }
    eprintln!("wrote {}", args.output.display());
}

fn learn_bpe(
    args: &TrainArgs,
    files: &[PathBuf],
    bar: &Bar,
) -> Result<(Tokenizer, Forgotten), Failure> {
    if args.unigram.is_some() {
        return Err("`kind` is bbpe, expected unigram with options of unigram (see --help)".into());
    }
    let default = TrainBpeOptions::default();
    let mut trainer = BpeTrainer::new(TrainBpeOptions {
        vocab_size: args.vocab_size,
        min_frequency: args.min_frequency.unwrap_or(default.min_frequency),
        special_tokens: args.special_tokens.clone(),
        hard_vocab_limit: args.hard_vocab_limit.unwrap_or(default.hard_vocab_limit),
        memory_limit: args.memory_limit,
    })?;
    each_batch(args.texts(files), bar, |texts| trainer.feed(texts))?;
    let forgotten = trainer.forgotten();
    Ok((trainer.train(&mut |progress| bar.show(progress))?, forgotten))
}

fn learn_unigram(
    args: &TrainArgs,
    files: &[PathBuf],
    bar: &Bar,
) -> Result<(Tokenizer, Forgotten), Failure> {
    if args.min_frequency.is_some() {
        return Err("`min-frequency` is for `kind` bbpe, expected it not to be given".into());
    }
    let (limit, memory) = (args.hard_vocab_limit, args.memory_limit);
    let options = match &args.unigram {
        Some(unigram) => unigram.options(args.vocab_size, &args.special_tokens, limit, memory),
        None => TrainUnigramOptions {
            vocab_size: args.vocab_size,
            control_symbols: args.special_tokens.clone(),
            hard_vocab_limit: limit.unwrap_or(true),
            memory_limit: memory,
            ..TrainUnigramOptions::default()
        },
    };
    // Before the files are read for the first time.
    options.check()?;
    let sentences = if options.samples() { count(args.texts(files), &options, bar)? } else { 0 };
    let mut trainer = UnigramTrainer::new(options, sentences)?;
    each_batch(args.texts(files), bar, |texts| trainer.feed(texts))?;
    let forgotten = trainer.forgotten();
    Ok((trainer.train(&mut |progress| bar.show(progress))?, forgotten))
}

/// Calls `work` with the texts, some at a time.
fn each_batch(
    texts: TextBatches<'_>,
    bar: &Bar,
    mut work: impl FnMut(&[&str]),
) -> Result<(), Failure> {
    for batch in texts {
        let batch = batch?;
        work(&batch.texts());
        bar.0.inc(batch.bytes);
    }
    Ok(())
}

/// Counts the sentences of files.
fn count(texts: TextBatches<'_>, options: &TrainUnigramOptions, bar: &Bar) -> Result<u64, Failure> {
    bar.0.set_message("counting lines");
    let mut sentences = 0;
    each_batch(texts, bar, |texts| {
        sentences += texts.iter().map(|text| options.sentences(text).count() as u64).sum::<u64>();
    })?;
    bar.0.reset();
    bar.0.set_message("reading");
    Ok(sentences)
}

/// A bar on standard error, where that is a terminal: bytes while files are read, then steps.
struct Bar(ProgressBar);

impl Bar {
    fn new(files: &[PathBuf], global: &Global) -> Result<Self, Failure> {
        if global.quiet {
            return Ok(Self(ProgressBar::hidden()));
        }
        let sizes = files.iter().map(|file| file.metadata().map_or(0, |file| file.len()));
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template)?;
        Ok(Self(ProgressBar::new(sizes.sum()).with_style(style).with_message("reading")))
    }

    fn show(&self, progress: TrainProgress) {
        if self.0.message() != progress.stage {
            if let Ok(style) =
                ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} left")
            {
                self.0.set_style(style);
            }
            self.0.reset();
            self.0.set_message(progress.stage);
        }
        self.0.set_length(progress.total as u64);
        self.0.set_position(progress.done as u64);
    }
}
