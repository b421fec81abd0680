//! `gpt2 encode` and `gpt2 decode`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::data::EncodingErrors;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::corpus::EncodingArgs;
use super::lines::TextLines;
use super::{Failure, Outcome};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 encode`.
#[derive(Debug, Args)]
pub struct EncodeArgs {
    /// Model folder (or one with tokenizer files alone) or hub id
    model: PathBuf,
    /// A JSON string on each line; `-` is standard input
    #[arg(long, value_name = "F.jsonl", default_value = "-")]
    input: PathBuf,
    #[command(flatten)]
    encoding: EncodingArgs,
}

/// Options of `gpt2 decode`.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// Model folder (or one with tokenizer files alone) or hub id
    model: PathBuf,
    /// A JSON list of ids on each line; `-` is standard input
    #[arg(long, value_name = "F.jsonl", default_value = "-")]
    input: PathBuf,
    /// Leave out special tokens such as `<|endoftext|>`
    #[arg(long)]
    skip_special_tokens: bool,
}

/// Strings to ids, line by line.
pub fn encode(args: &EncodeArgs, global: &Global) -> Outcome {
    let tokenizer = tokenizer(&args.model, global)?;
    let errors = args.encoding.encoding_errors;
    each_line(&args.input, errors, "a JSON string", |text: String| {
        let encoding = tokenizer.encode(&text)?;
        if global.json {
            output::json(&json!({ "ids": encoding.ids, "offsets": encoding.offsets }))?;
        } else {
            let ids: Vec<_> = encoding.ids.iter().map(u32::to_string).collect();
            output::line(ids.join(" "))?;
        }
        Ok(())
    })
}

/// Ids to strings, line by line.
pub fn decode(args: &DecodeArgs, global: &Global) -> Outcome {
    let tokenizer = tokenizer(&args.model, global)?;
    let errors = EncodingErrors::Strict;
    each_line(&args.input, errors, "a JSON list of token ids", |ids: Vec<u32>| {
        let text = tokenizer.decode(&ids, args.skip_special_tokens)?;
        if global.json {
            output::json(&text)?
        } else {
            output::line(text)?
        };
        Ok(())
    })
}

/// A folder may hold nothing but a tokenizer; where it holds a model too, the two must fit.
fn tokenizer(model: &Path, global: &Global) -> Result<Tokenizer, Failure> {
    let folder = global.locate(model)?;
    if folder.join("config.json").is_file() {
        return Ok(global.open(&folder)?.tokenizer()?);
    }
    Ok(Tokenizer::from_folder(folder)?)
}

/// Parses every line of a file and hands it on; an error names the line.
fn each_line<T: DeserializeOwned>(
    path: &Path,
    encoding_errors: EncodingErrors,
    expected: &str,
    mut use_value: impl FnMut(T) -> Outcome,
) -> Outcome {
    let reader: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => {
            let file = File::open(path)
                .map_err(|error| format!("{}: cannot read: {error}", path.display()))?;
            Box::new(BufReader::new(file))
        }
    };
    let name = match path.to_str() {
        Some("-") => Path::new("standard input"),
        _ => path,
    };
    let mut lines = TextLines::new(name, reader, encoding_errors);
    while let Some((number, line)) = lines.next()? {
        let value = serde_json::from_str(&line).map_err(|error| {
            format!("{}, line {number}: expected {expected}: {error}", name.display())
        })?;
        use_value(value)?;
    }
    Ok(())
}
