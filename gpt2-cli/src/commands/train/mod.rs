//! `gpt2 train`.

mod job;
mod summary;

use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::folder::{check_run_folder, write_within};
use gpt2_train::{Checkpoints, Resume, Trainer, TrainingConfig};

use self::job::{Job, evaluate_test};
use self::summary::report;
use super::corpus::DataArgs;
use super::recipe::RecipeArgs;
use super::start::StartArgs;
use super::{Outcome, check_output};
use crate::args::Global;

/// Folder of the checkpoints in the output folder.
const CHECKPOINTS: &str = "checkpoints";

/// What a run that did not come to its end leaves in the output folder.
const RUN_FILES: [&str; 9] = [
    "adapter",
    CHECKPOINTS,
    "epochs.jsonl",
    "metrics.jsonl",
    "recipe.toml",
    "report.html",
    "runs",
    "samples.jsonl",
    "training_config.json",
];

/// Options of `gpt2 train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Where it starts.
    #[command(flatten)]
    start: StartArgs,
    /// What it is trained on.
    #[command(flatten)]
    data: DataArgs,
    /// Folder to write: the model, `checkpoints`, `report.html`, `metrics.jsonl`, `runs` for
    /// TensorBoard, `training_config.json`, `recipe.toml` where there is a recipe, `adapter` with
    /// `--lora-r`, which the model has merged; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What the texts in `report.html` begin with, one for each evaluation [default: nothing]
    #[arg(long, value_name = "T")]
    sample_prompt: Vec<String>,
    /// Burn's dashboard instead of the progress bar
    #[cfg(feature = "dashboard")]
    #[arg(long)]
    dashboard: bool,
    /// Go on from the latest checkpoint in the output folder, if there is one
    #[arg(long)]
    resume: bool,
    /// Go on from this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    resume_from_checkpoint: Option<PathBuf>,
    /// Remove the checkpoints of an unfinished run in the output folder
    #[arg(long, conflicts_with_all = ["resume", "resume_from_checkpoint"])]
    overwrite_output_dir: bool,
    /// How it is trained.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

impl TrainArgs {
    /// What becomes of the checkpoints in the output folder.
    fn resume(&self) -> Resume {
        match &self.resume_from_checkpoint {
            Some(path) => Resume::From(path.clone()),
            None if self.resume => Resume::Latest,
            None if self.overwrite_output_dir => Resume::Overwrite,
            None => Resume::No,
        }
    }
}

/// Trains, keeps checkpoints meanwhile, and writes the model folder in the end.
pub fn run(args: &TrainArgs, global: &Global) -> Outcome {
    let (config, recipe) = args.recipe.resolve()?;
    let trainer = Trainer::with_recipe(config.clone(), recipe.clone())?;
    check(args, &config)?;
    let device = global.device()?;
    config.dtype.check(&device)?;
    let start = args.start.start(config.seed, global, &device)?;
    let data = args.data.datasets(start.model.config(), start.tokenizer.as_ref(), config.seed)?;
    let Some(train) = &data.train else { return Err("there is no training data".into()) };
    let trainer = trainer.with_checkpoints(Checkpoints {
        folder: args.output.join(CHECKPOINTS),
        resume: args.resume(),
        tokenizer: start.tokenizer.clone(),
    });
    let valid = data.valid.as_ref();
    let job = Job { args, config: &config, recipe: &recipe, start: &start, train, valid };
    let outcome = job.run(&trainer, global)?;
    write_within(&args.output, |folder| job.write_model(folder, &outcome))?;
    let test = data.test.as_ref();
    let test =
        test.map(|test| evaluate_test(&outcome.model, test, &config, &recipe)).transpose()?;
    report(&outcome, test.as_ref(), args, global)
}

/// Refuses what can be refused before anything is read.
fn check(args: &TrainArgs, config: &TrainingConfig) -> Outcome {
    check_validation(args, config)?;
    let data = args.data.inputs()?;
    let inputs = data.iter().chain(args.start.inputs()).chain(&args.recipe.file);
    check_output(&args.output, &inputs.map(PathBuf::as_path).collect::<Vec<&Path>>())?;
    Ok(check_run_folder(&args.output, |name| RUN_FILES.contains(&name))?)
}

/// Refuses options that do nothing without validation data.
fn check_validation(args: &TrainArgs, config: &TrainingConfig) -> Outcome {
    if args.data.has_validation()? {
        return Ok(());
    }
    for (option, given) in [
        ("eval_steps", config.eval_steps.is_some()),
        ("eval_on_start", config.eval_on_start),
        ("early_stopping_patience", config.early_stopping_patience.is_some()),
        ("load_best_model_at_end", config.load_best_model_at_end),
    ] {
        if given {
            let needed = "`--valid-data`, `--valid-fraction` or `--valid-lines`";
            return Err(format!("`{option}` needs {needed}").into());
        }
    }
    Ok(())
}
