//! The model that is measured, before its weights are there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use gpt2_core::{Error, Gpt2, Gpt2Config, ModelFolder};

use crate::args::Global;
use crate::commands::Failure;
use crate::commands::load::LoadArgs;

/// Seed of the weights of a model that is only a configuration.
const SEED: u64 = 42;

/// What has the weights.
pub enum Subject {
    /// A folder.
    Folder(ModelFolder),
    /// A configuration; they are random.
    Random {
        /// Its file.
        path: PathBuf,
        /// What it says.
        config: Gpt2Config,
    },
}

impl Subject {
    /// Opens what the command line names.
    pub fn open(
        model: Option<&Path>,
        config: Option<&Path>,
        global: &Global,
    ) -> Result<Self, Failure> {
        match (model, config) {
            (Some(model), _) => Ok(Self::Folder(global.open(model)?)),
            (None, Some(path)) => {
                Ok(Self::Random { path: path.into(), config: Gpt2Config::from_file(path)? })
            }
            (None, None) => Err("MODEL or `--config` is needed".into()),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Gpt2Config {
        match self {
            Self::Folder(folder) => folder.config(),
            Self::Random { config, .. } => config,
        }
    }

    /// Its weights.
    pub fn model(&self, load: LoadArgs, global: &Global) -> Result<Gpt2, Error> {
        let device = global.device()?;
        match self {
            Self::Folder(folder) => load.model(folder, &device),
            Self::Random { config, .. } => load.apply(Gpt2::init(config, SEED, &device)?),
        }
    }

    /// What names it on a command line.
    pub fn args(&self) -> Vec<&OsStr> {
        match self {
            Self::Folder(folder) => vec![folder.path().as_os_str()],
            Self::Random { path, .. } => vec!["--config".as_ref(), path.as_os_str()],
        }
    }
}
