//! `pierreguillou/gpt2-small-portuguese` (GPorTuguese-2) from the start: English GPT-2 goes on in Portuguese.
//!
//! `cargo run --release --example train_portuguese [-- --model gpt2 --data FILES]`
//!
//! The recipe is `examples/recipes/portuguese.toml`.

use clap::Parser;
use gpt2_examples::training::{Program, Rehearsal, TransferOptions, paragraphs, transfer};

const PROGRAM: Program = Program {
    language: "Portuguese",
    code: "pt",
    recipe: include_str!("recipes/portuguese.toml"),
    rehearsal: Rehearsal { scale: 2.0, rates: 3.0, batch_size: 1 },
    prompt: "Um rio",
    sequences: 1,
};

fn main() -> std::process::ExitCode {
    let own = || Ok(paragraphs(include_str!("corpus/portuguese.txt")));
    gpt2_examples::exit_code(transfer(&PROGRAM, own, &TransferOptions::parse()))
}
