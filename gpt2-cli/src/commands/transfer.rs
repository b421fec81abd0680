//! `gpt2 transfer`.

use std::path::PathBuf;

use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::transfer_vocabulary;
use serde_json::json;

use super::{Outcome, check_generation_config, check_output};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 transfer`.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// Folder with the new tokenizer
    #[arg(long, value_name = "DIR")]
    tokenizer: PathBuf,
    /// Folder to write; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Writes the model with the rows of its embedding where the new tokenizer has their tokens.
pub fn run(args: &TransferArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    check_output(&args.output, &[folder.path(), &args.tokenizer])?;
    check_generation_config(&folder)?;
    let tokenizer = Tokenizer::from_folder(&args.tokenizer)?;
    let transfer = transfer_vocabulary(&folder, tokenizer, &global.device()?)?;
    transfer.save(&args.output)?;
    let (kept, filled) = (transfer.kept, transfer.filled);
    if global.json {
        return Ok(output::json(&json!({ "kept": kept, "filled": filled }))?);
    }
    output::line(output::list([("kept", kept.to_string()), ("filled", filled.to_string())]))?;
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}
