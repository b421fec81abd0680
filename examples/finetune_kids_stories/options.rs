//! The command line of the program.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};
use gpt2_train::TrainingConfig;

/// Fine-tune GPT-2 on children's stories.
#[derive(Debug, Parser)]
#[command(name = "finetune_kids_stories", about)]
pub struct Options {
    /// Model folder or hub id to fine-tune, instead of a new small model
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Your stories: `.txt` (blank lines between stories) or `.jsonl` (`text`) [default: the
    /// embedded corpus]
    #[arg(long, num_args = 1.., value_name = "FILES")]
    pub data: Vec<PathBuf>,
    /// Folder to write: the model, checkpoints, and what there is to watch meanwhile (`report.html`,
    /// `metrics.jsonl`, TensorBoard's event files)
    #[arg(long, default_value = "kids-stories-model", value_name = "DIR")]
    pub output: PathBuf,
    /// Go on from the latest checkpoint in the output folder, if there is one
    #[arg(long)]
    pub resume: bool,
    /// Share of the stories that is held out
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    pub valid_fraction: f64,
    /// Tokens of a training sequence [default: 128 for a new model, else at most 256]
    #[arg(long, value_name = "N")]
    pub block_size: Option<usize>,
    /// Vocabulary of a new tokenizer
    #[arg(long, default_value_t = 4000, value_name = "N", conflicts_with = "model")]
    pub vocab_size: usize,
    /// Layers of a new model [default: by the size of the corpus]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub n_layer: Option<usize>,
    /// Width of a new model [default: by the size of the corpus]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub n_embd: Option<usize>,
    /// Heads of a new model [default: one for 32 of width]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub n_head: Option<usize>,
    /// How the new stories begin
    #[arg(long, default_value = "Archie sedang mengendarai roket ke planet Mars.")]
    pub prompt: String,
    /// How many stories to write
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub num_return_sequences: usize,
    /// Longest continuation, in tokens
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_new_tokens: usize,
    /// Choose among the K likeliest tokens
    #[arg(long, default_value_t = 40, value_name = "K")]
    pub top_k: usize,
    /// Below 1 the likely tokens become likelier
    #[arg(long, default_value_t = 0.7, value_name = "X")]
    pub temperature: f64,
    /// Device to compute on [default: the best one compiled in]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Burn's dashboard instead of the progress bar
    #[cfg(feature = "dashboard")]
    #[arg(long)]
    pub dashboard: bool,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
    /// The numbers of the recipe
    #[command(flatten)]
    pub training: TrainingConfig,
}

/// Highest learning rate of a model that starts from random weights. The published recipe's 5e-5
/// is for weights that need little change; a model that knows nothing has further to go.
const FROM_SCRATCH: f64 = 2e-3;

impl Options {
    /// Parses the command line, with ten epochs for a default, as the recipe has. What is saved is
    /// the best epoch.
    pub fn from_command_line() -> Self {
        let command = Self::command().mut_arg("num_train_epochs", |arg| arg.default_value("10"));
        let matches = command.get_matches();
        let mut options = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let given =
            matches.value_source("learning_rate") == Some(clap::parser::ValueSource::CommandLine);
        if options.model.is_none() && !given {
            options.training.learning_rate = FROM_SCRATCH;
        }
        options.training.load_best_model_at_end = true;
        options
    }

    /// File names for the card.
    pub fn data_names(&self) -> Vec<String> {
        let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        match self.data.as_slice() {
            [] => vec!["cerita_anak".to_string()],
            files => files.iter().filter_map(name).collect(),
        }
    }
}
