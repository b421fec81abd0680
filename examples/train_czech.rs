//! `spital/gpt2-small-czech-cs` from the start: English GPT-2 goes on in Czech.
//!
//! `cargo run --release --example train_czech [-- --model gpt2 --data FILES]`
//!
//! The recipe is `examples/recipes/czech.toml`.

use clap::Parser;
use gpt2_examples::training::{Program, Rehearsal, TransferOptions, paragraphs, transfer};

const PROGRAM: Program = Program {
    language: "Czech",
    code: "cs",
    recipe: include_str!("recipes/czech.toml"),
    rehearsal: Rehearsal { scale: 2.0, rates: 3.0, batch_size: 1 },
    prompt: "Řeka",
    sequences: 1,
};

fn main() -> std::process::ExitCode {
    let own = || Ok(paragraphs(include_str!("corpus/czech.txt")));
    gpt2_examples::exit_code(transfer(&PROGRAM, own, &TransferOptions::parse()))
}
