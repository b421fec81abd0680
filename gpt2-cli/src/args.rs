//! The command line: global options and the list of commands.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};
use gpt2_core::{ModelFolder, device};

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
pub struct Global {
    /// Where to compute: see `gpt2 devices` [default: the best one compiled in]
    #[arg(long, global = true, value_name = "NAME")]
    pub device: Option<String>,
    /// Threads for CPU work [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// No progress on standard error
    #[arg(long, global = true)]
    pub quiet: bool,
    /// JSON on standard output, one object a line, and nothing else there
    #[arg(long, global = true)]
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
    /// Measure loss, perplexity and accuracy on a text
    Eval(commands::eval::EvalArgs),
    /// Run a model on raw tensors and write what it computes
    Forward(commands::forward::ForwardArgs),
    /// Turn strings into token ids
    Encode(commands::tokens::EncodeArgs),
    /// Turn token ids into strings
    Decode(commands::tokens::DecodeArgs),
    /// Train a model, from a published one or from scratch
    Train(Box<commands::train::TrainArgs>),
    /// Rewrite a model as a safetensors folder
    Convert(commands::convert::ConvertArgs),
}

impl Global {
    /// Sizes the thread pool that the CPU backends share.
    pub fn set_threads(&self) -> Result<(), Failure> {
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

    /// The folder of `MODEL`, downloaded first if it is a hub id.
    pub fn locate(&self, model: &Path) -> Result<PathBuf, Failure> {
        if model.is_dir() {
            return Ok(model.to_path_buf());
        }
        locate_remote(model)
    }
}

#[cfg(feature = "hub")]
fn locate_remote(model: &Path) -> Result<PathBuf, Failure> {
    Ok(gpt2_core::weights::hub::download(&model.to_string_lossy(), None, &mut |_| {})?)
}

#[cfg(not(feature = "hub"))]
fn locate_remote(model: &Path) -> Result<PathBuf, Failure> {
    let name = model.display();
    Err(format!("{name}: there is no such folder; this build has no feature `hub` for hub ids")
        .into())
}
