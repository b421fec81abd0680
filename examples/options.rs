//! The command line of the short programs.

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use gpt2_core::{ModelFolder, device};
use gpt2_infer::Pipeline;

use crate::home_made;

/// A program's own errors have nobody else to go to.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Use a published GPT-2 as its card does.
#[derive(Debug, Parser)]
pub struct Options {
    /// Model folder or hub id [default: a small model that is made on the spot]
    pub model: Option<PathBuf>,
    /// Device to compute on [default: the best one compiled in]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Seed of the random draws [default: a new one every time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl Options {
    /// The model of the command line, or else a small one that has read `text`.
    ///
    /// # Errors
    /// Whatever is wrong with the folder, the hub or the device.
    pub fn pipeline(&self, text: &str) -> Result<Pipeline, Failure> {
        let device = self.device.as_deref().map_or_else(device::best, device::by_name)?;
        match &self.model {
            Some(model) => {
                let folder = ModelFolder::locate(model, &mut |_| {})?;
                Ok(Pipeline::from_pretrained(folder, &device)?)
            }
            None => without_model(text, &device),
        }
    }
}

/// Makes a model folder and opens it as if it had been published.
fn without_model(text: &str, device: &Device) -> Result<Pipeline, Failure> {
    println!(
        "No model is given: here is a small one, which knows {} sentences.\n",
        text.lines().count()
    );
    let place = tempfile::tempdir()?;
    let folder = place.path().join("model");
    home_made(text, &folder, device)?;
    Ok(Pipeline::from_pretrained(&folder, device)?)
}

/// Runs a program; an error is one message on standard error and exit code 1.
pub fn run(program: impl FnOnce(&Options) -> Result<(), Failure>) -> ExitCode {
    exit_code(program(&Options::parse()))
}

/// What a program ends with: an error is one message on standard error and exit code 1.
#[must_use]
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
