//! `gpt2`: train, fine-tune, run and inspect GPT-2 models from a terminal.
//!
//! Thin on purpose: parsing, progress and printing. Every capability is a call of a library crate.

mod args;
mod commands;
mod interrupt;
mod output;

use std::process::ExitCode;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::from_process();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if output::is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
                eprintln!("{interrupted}");
                return ExitCode::from(interrupted.exit_code());
            }
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> commands::Outcome {
    let global = &cli.global;
    global.prepare()?;
    match &cli.command {
        Command::Devices => commands::devices::run(global),
        Command::Info(args) => commands::info::run(args, global),
        Command::Generate(args) => commands::generate::run(args, global),
        Command::Next(args) => commands::next::run(args, global),
        Command::Features(args) => commands::features::run(args, global),
        Command::Eval(args) => commands::eval::run(args, global),
        Command::Forward(args) => commands::forward::run(args, global),
        Command::Encode(args) => commands::tokens::encode(args, global),
        Command::Decode(args) => commands::tokens::decode(args, global),
        Command::Tokenizer(command) => commands::tokenizer::run(command, global),
        Command::Data(command) => commands::data::run(command, global),
        Command::LrFind(args) => commands::lr_find::run(args, global),
        Command::Train(args) => commands::train::run(args, global),
        Command::Transfer(args) => commands::transfer::run(args, global),
        Command::Convert(args) => commands::convert::run(args, global),
        Command::Bench(args) => commands::bench::run(args, global),
    }
}
