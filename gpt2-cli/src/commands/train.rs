//! `gpt2 train`.

use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::folder::{write_file, write_folder};
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::StoredDType;
use gpt2_train::report::{MetricsWriter, ModelCard, TrainingProgress, epoch_table};
use gpt2_train::{Callbacks, Trainer, TrainingConfig, recipe_toml};
use serde_json::json;

use super::corpus::DataArgs;
use super::recipe::RecipeArgs;
use super::start::StartArgs;
use super::{Outcome, check_output};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Where it starts.
    #[command(flatten)]
    start: StartArgs,
    /// What it is trained on.
    #[command(flatten)]
    data: DataArgs,
    /// Folder to write: the model, `metrics.jsonl`, `training_config.json`, `recipe.toml` where there
    /// is a recipe; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How it is trained.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// Trains and writes the model folder with `metrics.jsonl` and `training_config.json`.
pub fn run(args: &TrainArgs, global: &Global) -> Outcome {
    let (config, recipe) = args.recipe.resolve()?;
    let trainer = Trainer::with_recipe(config.clone(), recipe.clone())?;
    check_validation(args, &config)?;
    check_output(&args.output, &inputs(args))?;
    let start = args.start.start(config.seed, global, &global.device()?)?;
    let data = args.data.datasets(start.model.config(), start.tokenizer.as_ref(), config.seed)?;
    let mut finished = None;
    write_folder(&args.output, |folder| -> Outcome {
        let mut metrics = MetricsWriter::create(folder.join("metrics.jsonl"))?;
        let mut progress = TrainingProgress::new(global.quiet);
        let outcome = trainer.run(
            start.model.clone(),
            &data.train,
            data.valid.as_ref(),
            &mut Callbacks(vec![&mut progress, &mut metrics]),
        );
        progress.finish();
        let outcome = outcome?;
        let model = outcome.model.config();
        let card = card(args).render_recipe(model, &config, &recipe, &outcome.epochs);
        ModelToSave {
            model: &outcome.model,
            tokenizer: start.tokenizer.as_ref(),
            generation_config: start.generation_config.as_ref(),
            card: Some(&card),
            dtype: StoredDType::F32,
        }
        .write_into(folder)?;
        let resolved = serde_json::to_string_pretty(&config)?;
        write_file(folder.join("training_config.json"), resolved.as_bytes())?;
        if args.recipe.file.is_some() {
            write_file(folder.join("recipe.toml"), recipe_toml(&config, &recipe)?.as_bytes())?;
        }
        finished = Some(outcome);
        Ok(())
    })?;
    // Only now, so that a reader who has gone away costs no training run.
    match finished {
        Some(outcome) => report(&outcome, args, global),
        None => Ok(()),
    }
}

/// Everything that is read, none of which may be where the output goes.
fn inputs(args: &TrainArgs) -> Vec<&Path> {
    let files = args.data.inputs().chain(args.start.inputs()).chain(&args.recipe.file);
    files.map(PathBuf::as_path).collect()
}

/// Refuses options that do nothing without validation data.
fn check_validation(args: &TrainArgs, recipe: &TrainingConfig) -> Outcome {
    if args.data.has_validation() {
        return Ok(());
    }
    for (option, given) in [
        ("eval_steps", recipe.eval_steps.is_some()),
        ("eval_on_start", recipe.eval_on_start),
        ("early_stopping_patience", recipe.early_stopping_patience.is_some()),
        ("load_best_model_at_end", recipe.load_best_model_at_end),
    ] {
        if given {
            return Err(format!("`{option}` needs `--valid-data` or `--valid-fraction`").into());
        }
    }
    Ok(())
}

fn card(args: &TrainArgs) -> ModelCard {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let datasets: Vec<String> = args.data.data.iter().filter_map(|file| name(file)).collect();
    ModelCard {
        name: name(&args.output).unwrap_or_else(|| "GPT-2".to_string()),
        summary: format!("A GPT-2 language model trained on {}.", datasets.join(", ")),
        base_model: args.start.model.as_ref().and_then(|model| match model.is_dir() {
            // Where it lies on this machine is nobody's business.
            true => name(model),
            false => Some(model.display().to_string()),
        }),
        ..ModelCard::default()
    }
}

fn report(outcome: &gpt2_train::Outcome, args: &TrainArgs, global: &Global) -> Outcome {
    let last = outcome.epochs.last();
    if global.json {
        let best = outcome.best.as_ref().map(|(record, _)| record);
        return Ok(output::json(&json!({
            "steps": outcome.steps,
            "epochs": last.map_or(0.0, |epoch| epoch.epoch),
            "best": best,
            "last": last.and_then(|epoch| epoch.evaluation),
            "seconds": outcome.seconds,
        }))?);
    }
    output::line(epoch_table(&outcome.epochs))?;
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}
