//! `w11wo/indo-gpt2-small` from the start: English GPT-2 goes on in Indonesian.
//!
//! `cargo run --release --example train_indonesian [-- --model gpt2 --data FILES]`
//!
//! The recipe is `examples/recipes/indonesian.toml`.

use clap::Parser;
use gpt2_examples::training::{Program, Rehearsal, TransferOptions, stories, transfer};

const PROGRAM: Program = Program {
    language: "Indonesian",
    code: "id",
    recipe: include_str!("recipes/indonesian.toml"),
    rehearsal: Rehearsal { scale: 1.0, rates: 3.0, batch_size: 2 },
    prompt: "Pada suatu hari",
    sequences: 1,
};

fn main() -> std::process::ExitCode {
    let own = || stories(include_str!("corpus/cerita_anak.jsonl"));
    gpt2_examples::exit_code(transfer(&PROGRAM, own, &TransferOptions::parse()))
}
