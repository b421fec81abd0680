//! `gpt2 tokenizer`.

mod train;
mod unigram;

use clap::Subcommand;

use super::Outcome;
use crate::args::Global;

/// What can be done with tokenizers.
#[derive(Debug, Subcommand)]
pub enum TokenizerCommand {
    /// Learn a tokenizer from texts
    Train(Box<train::TrainArgs>),
}

/// Does what is asked for.
pub fn run(command: &TokenizerCommand, global: &Global) -> Outcome {
    let TokenizerCommand::Train(args) = command;
    train::run(args, global)
}
