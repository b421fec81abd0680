//! What `gpt2 train` and `gpt2 lr-find` start from.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Gpt2, Gpt2Config};
use serde_json::{Map, Value};

use super::{Failure, check_generation_config};
use crate::args::Global;

/// Options that name a published model or describe a new one.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("start").args(["model", "config"]).required(true))]
pub struct StartArgs {
    /// Model folder or hub id to fine-tune
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// `config.json` of a new model; needs `--tokenizer`
    #[arg(long, requires = "tokenizer", value_name = "config.json")]
    pub config: Option<PathBuf>,
    /// Folder with the tokenizer of a new model
    #[arg(long, requires = "config", conflicts_with = "model", value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
}

/// A model to start from.
pub struct Start {
    pub model: Gpt2,
    pub tokenizer: Option<Tokenizer>,
    pub generation_config: Option<Map<String, Value>>,
}

impl StartArgs {
    /// All paths that are read.
    pub fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.model.iter().chain(&self.config).chain(&self.tokenizer)
    }

    /// Loads the model, or makes a new one of random weights from a seed.
    pub fn start(&self, seed: u64, global: &Global, device: &Device) -> Result<Start, Failure> {
        if let Some(model) = &self.model {
            let folder = global.open(model)?;
            check_generation_config(&folder)?;
            return Ok(Start {
                tokenizer: folder.tokenizer_if_any()?,
                generation_config: folder.generation_config()?,
                model: folder.model(device)?,
            });
        }
        let (Some(config), Some(folder)) = (&self.config, &self.tokenizer) else {
            return Err("`--model`, or `--config` and `--tokenizer`, is needed".into());
        };
        let mut config = Gpt2Config::from_file(config)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        tokenizer.check_fits(config.vocab_size).map_err(|error| error.in_file(folder))?;
        // The special tokens of a new model are those of its tokenizer.
        config.bos_token_id = tokenizer.bos_token_id();
        config.eos_token_id = tokenizer.eos_token_id().into_iter().collect();
        Ok(Start {
            model: Gpt2::init(&config, seed, device)?,
            tokenizer: Some(tokenizer),
            generation_config: None,
        })
    }
}
