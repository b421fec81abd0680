//! `gpt2`: train, fine-tune, run and inspect GPT-2 models from a terminal.
//!
//! Thin on purpose: parsing, progress and printing. Every capability is a call of a library crate.

mod args;
mod commands;
mod failure;
mod interrupt;
mod output;

use std::process::ExitCode;

use args::{Cli, Command};

fn main() -> ExitCode {
    without_a_desktop();
    let cli = Cli::from_process();
    match failure::caught(|| run(&cli)) {
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

/// Mesa's drivers look for a desktop and print errors where none has been started, which would be taken for ours.
///
/// They are content with a folder in which they find nothing.
#[allow(unsafe_code)]
fn without_a_desktop() {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: no other thread exists yet that could read the environment.
        unsafe { std::env::set_var(VARIABLE, std::env::temp_dir()) };
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
