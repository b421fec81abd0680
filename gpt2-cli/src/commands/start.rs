//! What `gpt2 train` and `gpt2 lr-find` start from.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use gpt2_core::pretrained::LoadOptions;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Error, Gpt2, Gpt2Config, ModelFolder};
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
    /// Give the model as many embeddings as the tokenizer has ids: new ones are the mean of all
    #[arg(long)]
    pub resize_token_embeddings: bool,
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
            let (tokenizer, vocab_size) = self.tokenizer_of(&folder)?;
            let options = LoadOptions { vocab_size, ..LoadOptions::default() };
            return Ok(Start {
                tokenizer,
                generation_config: folder.generation_config()?,
                model: folder.model_with(device, options)?,
            });
        }
        let (Some(config), Some(folder)) = (&self.config, &self.tokenizer) else {
            return Err("`--model`, or `--config` and `--tokenizer`, is needed".into());
        };
        let mut config = Gpt2Config::from_file(config)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        match self.resize_token_embeddings {
            true => config.vocab_size = tokenizer.max_id() as usize + 1,
            false => check(&tokenizer, &config, folder)?,
        }
        // The special tokens of a new model are those of its tokenizer.
        config.bos_token_id = tokenizer.bos_token_id();
        config.eos_token_id = tokenizer.eos_token_id().into_iter().collect();
        Ok(Start {
            model: Gpt2::init(&config, seed, device)?,
            tokenizer: Some(tokenizer),
            generation_config: None,
        })
    }

    /// The tokenizer of a folder, if it has one, and the number of embeddings where it is to change.
    fn tokenizer_of(
        &self,
        folder: &ModelFolder,
    ) -> Result<(Option<Tokenizer>, Option<usize>), Error> {
        let tokenizer = match Tokenizer::from_folder(folder.path()) {
            Err(Error::MissingFile { .. }) => return Ok((None, None)),
            tokenizer => tokenizer?,
        };
        let wanted = tokenizer.max_id() as usize + 1;
        if !self.resize_token_embeddings {
            check(&tokenizer, folder.config(), folder.path())?;
        }
        let changes = self.resize_token_embeddings && wanted != folder.config().vocab_size;
        Ok((Some(tokenizer), changes.then_some(wanted)))
    }
}

/// Refuses a tokenizer of another size than the model.
fn check(tokenizer: &Tokenizer, config: &Gpt2Config, folder: &Path) -> Result<(), Error> {
    tokenizer.check_matches(config.vocab_size).map_err(|error| match error.in_file(folder) {
        Error::Tokenizer { path, reason } => {
            let reason = format!("{reason} (`--resize-token-embeddings` resizes the model)");
            Error::Tokenizer { path, reason }
        }
        other => other,
    })
}
