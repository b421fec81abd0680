//! The command line of the programs that train.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use gpt2_core::device;
use gpt2_core::tokenizer::TrainBpeOptions;
use gpt2_train::{Recipe, RecipeFile, Stage, TrainingConfig};
use serde_json::{Map, json};

use super::Program;
use crate::Failure;

/// How the recipe is changed for the text that comes with a program: a few kilobytes make few steps
/// unless these are small, and a small model bears higher rates than a large one.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsal {
    /// Length of the stages, as a multiple of the recipe's.
    pub scale: f64,
    /// Learning rates, as a multiple of the recipe's.
    pub rates: f64,
    /// Sequences of a step.
    pub batch_size: usize,
}

/// Tokens of a vocabulary and of a sequence in a rehearsal.
const SMALL: (usize, usize) = (400, 64);

/// Options of every program that trains.
#[derive(Debug, Args)]
pub struct JobOptions {
    /// Your texts: `.txt` (blank lines between documents) or `.jsonl` (`text`) [default: the text that
    /// comes with the program, on which the recipe is only rehearsed]
    #[arg(long, num_args = 1.., value_name = "FILES")]
    pub data: Vec<PathBuf>,
    /// Folder to write the model to [default: one in `target`]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Vocabulary of the new tokenizer [default: as published; 400 in a rehearsal]
    #[arg(long, value_name = "N")]
    pub vocab_size: Option<usize>,
    /// Tokens of a training sequence [default: the model's context; 64 in a rehearsal]
    #[arg(long, value_name = "N")]
    pub block_size: Option<usize>,
    /// Length of the stages, as a multiple of the recipe's
    #[arg(long, value_name = "X")]
    pub scale: Option<f64>,
    /// Learning rates, as a multiple of the recipe's
    #[arg(long, value_name = "X")]
    pub rates: Option<f64>,
    /// Sequences of one forward pass, instead of the recipe's
    #[arg(long, value_name = "N")]
    pub per_device_batch_size: Option<usize>,
    /// Write a checkpoint every N steps [default: at the end of every epoch]
    #[arg(long, value_name = "N")]
    pub save_steps: Option<usize>,
    /// Go on from the latest checkpoint in the output folder, if there is one
    #[arg(long)]
    pub resume: bool,
    /// How the text begins that the trained model writes
    #[arg(long)]
    pub prompt: Option<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// Device to compute on [default: the best one compiled in]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
}

impl JobOptions {
    /// The device to compute on.
    ///
    /// # Errors
    /// For a name that no device has.
    pub fn device(&self) -> Result<Device, Failure> {
        Ok(self.device.as_deref().map_or_else(device::best, device::by_name)?)
    }

    /// Whether the program's own text is used.
    #[must_use]
    pub fn is_rehearsal(&self) -> bool {
        self.data.is_empty()
    }

    /// Options and recipe of the run: the published ones with what the command line, or a rehearsal,
    /// changes of them.
    ///
    /// # Errors
    /// For a recipe or an option that is wrong.
    pub fn recipe(&self, program: &Program) -> Result<(TrainingConfig, Recipe), Failure> {
        let rehearsal = self.is_rehearsal().then_some(program.rehearsal);
        let batch_size = self.per_device_batch_size.or(rehearsal.map(|changes| changes.batch_size));
        let scale = self.scale.or(rehearsal.map(|changes| changes.scale)).unwrap_or(1.0);
        let rates = self.rates.or(rehearsal.map(|changes| changes.rates)).unwrap_or(1.0);
        let mut given = Map::from_iter([("seed".to_string(), json!(self.seed))]);
        for (option, value) in
            [("per_device_batch_size", batch_size), ("save_steps", self.save_steps)]
        {
            given.extend(value.map(|value| (option.to_string(), json!(value))));
        }
        let file = RecipeFile::parse("recipe.toml", program.recipe)?;
        let (config, recipe) = file.resolve(&given)?;
        let mut recipe = recipe.scaled(scale)?;
        for stage in &mut recipe.stages {
            *stage = Stage {
                learning_rate: stage.learning_rate * rates,
                lowest_learning_rate: stage.lowest_learning_rate.map(|rate| rate * rates),
                ..*stage
            };
        }
        recipe.validate()?;
        Ok((config, recipe))
    }

    /// How a tokenizer is trained, of `published` tokens unless the options say otherwise.
    #[must_use]
    pub fn tokenizer(&self, published: usize) -> TrainBpeOptions {
        let default = if self.is_rehearsal() { SMALL.0 } else { published };
        TrainBpeOptions {
            vocab_size: self.vocab_size.unwrap_or(default),
            ..TrainBpeOptions::default()
        }
    }

    /// Tokens of a sequence for a model with so large a context.
    #[must_use]
    pub fn block_size(&self, context: usize) -> usize {
        let default = if self.is_rehearsal() { SMALL.1.min(context) } else { context };
        self.block_size.unwrap_or(default)
    }

    /// Where the model goes.
    #[must_use]
    pub fn output(&self, program: &Program) -> PathBuf {
        let default = || PathBuf::from(format!("target/{}-model", program.language.to_lowercase()));
        self.output.clone().unwrap_or_else(default)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gpt2_train::StageLength;

    use super::*;

    const PROGRAM: Program = Program {
        language: "Portuguese",
        code: "pt",
        recipe: include_str!("../recipes/portuguese.toml"),
        rehearsal: Rehearsal { scale: 2.0, rates: 3.0, batch_size: 1 },
        prompt: "Um rio",
        sequences: 1,
    };

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        job: JobOptions,
    }

    fn options(args: &[&str]) -> JobOptions {
        Command::try_parse_from([&["program"], args].concat()).unwrap().job
    }

    /// Sequences of a step; length, lowest and highest rate of the last stage.
    fn resolved(args: &[&str]) -> (usize, StageLength, f64, f64) {
        let (config, recipe) = options(args).recipe(&PROGRAM).unwrap();
        let last = recipe.stages[3];
        let lowest = last.lowest_learning_rate.unwrap();
        (config.per_device_batch_size, last.length, lowest, last.learning_rate)
    }

    #[test]
    fn a_corpus_gets_the_published_recipe_and_a_rehearsal_a_changed_one() {
        let lowest = 1e-4 / 2.6f64.powi(4);
        let close = |found: (usize, StageLength, f64, f64), expected: (usize, f64, f64)| {
            let (batch_size, epochs, rates) = expected;
            assert_eq!((found.0, found.1), (batch_size, StageLength::Epochs(epochs)));
            assert!((found.2 / (rates * lowest) - 1.0).abs() < 1e-12, "{found:?}");
            assert!((found.3 / (rates * 1e-4) - 1.0).abs() < 1e-12, "{found:?}");
        };
        close(resolved(&["--data", "a.txt"]), (8, 2.0, 1.0));
        close(resolved(&[]), (1, 4.0, 3.0));
        let all = ["--scale", "0.5", "--rates", "2", "--per-device-batch-size", "4"];
        close(resolved(&all), (4, 1.0, 2.0));
        close(resolved(&[&all[..], &["--data", "a.txt"]].concat()), (4, 1.0, 2.0));
    }

    #[test]
    fn sizes_are_the_published_ones_for_a_corpus() {
        let corpus = options(&["--data", "a.txt"]);
        assert_eq!((corpus.tokenizer(50257).vocab_size, corpus.block_size(1024)), (50257, 1024));
        let rehearsal = options(&[]);
        assert_eq!((rehearsal.tokenizer(50257).vocab_size, rehearsal.block_size(1024)), SMALL);
        assert_eq!(rehearsal.block_size(32), 32);
        assert_eq!(rehearsal.output(&PROGRAM), PathBuf::from("target/portuguese-model"));
    }

    #[test]
    fn wrong_multiples_are_refused() {
        for args in [["--scale", "0"], ["--scale", "nan"], ["--rates", "0"], ["--rates", "-1"]] {
            let args = [format!("{}={}", args[0], args[1])];
            let result = options(&[&args[0]]).recipe(&PROGRAM);
            let message = result.unwrap_err().to_string();
            assert!(message.contains("expected a number above 0"), "{message}");
        }
    }
}
