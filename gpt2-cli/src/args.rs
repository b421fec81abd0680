//! The command line: global options and the list of commands.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use gpt2_core::ModelFolder;
use gpt2_core::device::{self, AdapterKind};
use gpt2_core::ops::{Float32MatmulPrecision, set_float32_matmul_precision};
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::{self, Failure};

/// GPT-2 in pure Rust: train, fine-tune, run and inspect.
#[derive(Debug, Parser)]
#[command(name = "gpt2", version, about)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where to compute: see `gpt2 devices` [default: the best one present]
    #[arg(long, global = true, value_name = "NAME", display_order = 1000)]
    pub device: Option<String>,
    /// Threads for CPU work, at most 1024 [default: all cores]
    #[arg(
        long,
        global = true,
        value_name = "N",
        display_order = 1001,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub threads: Option<u16>,
    /// How CUDA cards multiply f32: `highest` in f32, `high` in TF32, as `torch.set_float32_matmul_precision`
    #[arg(long, global = true, value_name = "highest|high", display_order = 1002, default_value_t)]
    pub float32_matmul_precision: Float32MatmulPrecision,
    /// No progress and no messages on standard error, errors apart
    #[arg(long, global = true, display_order = 1003)]
    pub quiet: bool,
    /// JSON on standard output, one object a line, and nothing else there
    #[arg(long, global = true, display_order = 1004)]
    pub json: bool,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the devices that this build can compute on
    Devices,
    /// Check a model folder and say what is in it
    Info(commands::info::InfoArgs),
    /// Continue prompts
    Generate(Box<commands::generate::GenerateArgs>),
    /// Show the most likely next tokens of a prompt
    Next(Box<commands::next::NextArgs>),
    /// Show the hidden states of prompts
    Features(commands::features::FeaturesArgs),
    /// Measure loss, perplexity and accuracy on a text
    Eval(commands::eval::EvalArgs),
    /// Run a model on raw tensors and write what it computes
    Forward(commands::forward::ForwardArgs),
    /// Turn strings into token ids
    Encode(commands::tokens::EncodeArgs),
    /// Turn token ids into strings
    Decode(commands::tokens::DecodeArgs),
    /// Prepare a corpus
    #[command(subcommand)]
    Data(commands::data::DataCommand),
    /// Make tokenizers
    #[command(subcommand)]
    Tokenizer(commands::tokenizer::TokenizerCommand),
    /// Train a model, from a published one or from scratch
    Train(Box<commands::train::TrainArgs>),
    /// Find a learning rate: a short training run in which it rises until the loss explodes
    LrFind(Box<commands::lr_find::LrFindArgs>),
    /// Give a model another tokenizer, to train it on in another language
    Transfer(commands::transfer::TransferArgs),
    /// Rewrite a model as a safetensors folder
    Convert(commands::convert::ConvertArgs),
    /// Measure the speed of training, reading and generation
    Bench(commands::bench::BenchArgs),
}

impl Cli {
    /// Parses the process's arguments; prints help or a message about bad usage (exit code 2) and
    /// ends the process where they ask for it.
    pub fn from_process() -> Self {
        let hide = commands::lr_find::with_options_of_runs_hidden;
        let command = with_negative_numbers(Self::command()).mut_subcommand("lr-find", hide);
        let args = joined(&command, std::env::args_os());
        let matches = command.get_matches_from(args);
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Some((_, matches)) = matches.subcommand() {
            match &mut cli.command {
                Command::Train(args) => args.recipe.note_given(matches),
                Command::LrFind(args) => args.recipe.note_given(matches),
                _ => {}
            }
        }
        cli
    }
}

/// Puts `=` between an option whose value may be left out and a value of its own that follows it.
///
/// The parser by itself takes whatever follows such an option for its value, or nothing, and what
/// follows may be `MODEL`.
fn joined(command: &clap::Command, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut only_positional = false;
    for arg in args {
        only_positional |= arg == "--";
        match joined.last_mut() {
            Some(option) if !only_positional && may_have(command, option, &arg) => {
                option.push("=");
                option.push(arg);
            }
            _ => joined.push(arg),
        }
    }
    joined
}

/// Whether this is an option whose value may be left out, and that is one of its values.
fn may_have(command: &clap::Command, option: &OsStr, value: &OsStr) -> bool {
    let Some(name) = option.to_str().and_then(|option| option.strip_prefix("--")) else {
        return false;
    };
    let options = command.get_subcommands().flat_map(clap::Command::get_arguments);
    options
        .filter(|option| option.get_long() == Some(name) && option.is_require_equals_set())
        .flat_map(clap::Arg::get_possible_values)
        .any(|possible| value == possible.get_name())
}

/// Takes `-1` after an option for its value, so that the message says what is wrong with it and
/// not that there is no option `-1`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_action().takes_values() && !arg.is_positional() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        })
        .mut_subcommands(with_negative_numbers)
}

/// Parses an option that is a number: `nan` and `inf` are none.
pub fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a finite number".to_string())
}

/// Parses an option that is a rate.
pub fn above_zero(text: &str) -> Result<f64, String> {
    let number = finite(text).ok().filter(|&number| number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_string())
}

/// Parses an option that is JSON.
pub fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Parses an option that is a number of things.
pub fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("expected a whole number from 1 to {}", usize::MAX))
}

impl Global {
    /// Checks the device, also for commands that compute nothing, and sizes the thread pool.
    pub fn prepare(&self) -> Result<(), Failure> {
        if let Some(name) = &self.device {
            self.warn_of_software(&device::by_name(name)?);
        }
        set_float32_matmul_precision(self.float32_matmul_precision);
        self.set_threads()
    }

    /// Says that a device is not what its name promises.
    fn warn_of_software(&self, device: &Device) {
        let software = device::adapter(device).filter(|of| of.kind == AdapterKind::Software);
        if let (Some(adapter), false) = (software, self.quiet) {
            let name = adapter.name;
            eprintln!("note: {name} is a software renderer, slower than `--device flex`");
        }
    }

    /// Sizes the thread pool that the CPU backends share.
    fn set_threads(&self) -> Result<(), Failure> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
        }
        Ok(())
    }

    /// The device of `--device`, or the best one.
    pub fn device(&self) -> Result<Device, gpt2_core::Error> {
        self.device.as_deref().map_or_else(device::best, device::by_name)
    }

    /// Opens `MODEL`: a folder, or a hub id where the build has the feature.
    pub fn open(&self, model: &Path) -> Result<ModelFolder, Failure> {
        ModelFolder::open(self.locate(model)?).map_err(Failure::from)
    }

    /// The folder of `MODEL`, downloaded first, behind a progress bar, if it is a hub id.
    pub fn locate(&self, model: &Path) -> Result<PathBuf, Failure> {
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template)?;
        let mut bar = None;
        let folder = ModelFolder::locate(model, &mut |progress| {
            let bar = bar.get_or_insert_with(|| match self.quiet {
                true => ProgressBar::hidden(),
                false => ProgressBar::new(0).with_style(style.clone()),
            });
            bar.set_message(progress.file.to_string());
            bar.set_length(progress.total);
            bar.set_position(progress.bytes);
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        Ok(folder?)
    }

    /// Whether messages that are not errors go to standard error.
    pub fn is_chatty(&self) -> bool {
        !self.quiet && !self.json
    }
}
