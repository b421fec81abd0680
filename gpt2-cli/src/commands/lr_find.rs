//! `gpt2 lr-find`.

use std::fs::create_dir_all;
use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::folder::write_file;
use gpt2_train::LrFinder;
use gpt2_train::lr_finder::SweepEnd;
use gpt2_train::report::{TrainingProgress, lr_plot, lr_table};
use serde_json::json;

use super::corpus::DataArgs;
use super::recipe::RecipeArgs;
use super::start::StartArgs;
use super::{Outcome, check_output};
use crate::args::Global;
use crate::output;

/// Options of a run that have no part in a sweep, which has a length and rates of its own and
/// evaluates nothing.
const OF_RUNS: [&str; 12] = [
    "save_steps",
    "save_total_limit",
    "valid_data",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler",
    "warmup_steps",
    "eval_steps",
    "eval_on_start",
    "early_stopping_patience",
    "load_best_model_at_end",
];

/// Options of `gpt2 lr-find`.
#[derive(Debug, Clone, Args)]
pub struct LrFindArgs {
    /// Where it starts.
    #[command(flatten)]
    start: StartArgs,
    /// What it is trained on.
    #[command(flatten)]
    data: DataArgs,
    /// SVG file to write the curve to
    #[arg(long, value_name = "F.svg")]
    output: Option<PathBuf>,
    /// The sweep.
    #[command(flatten)]
    finder: LrFinder,
    /// How it is trained.
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// The command's help without options that it refuses.
pub fn with_options_of_runs_hidden(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match OF_RUNS.contains(&arg.get_id().as_str()) {
        true => arg.hide(true),
        false => arg,
    })
}

/// Sweeps over learning rates; the model stays as it is.
pub fn run(args: &LrFindArgs, global: &Global) -> Outcome {
    if let Some(option) = OF_RUNS.into_iter().find(|option| args.recipe.gives(option)) {
        return Err(format!("`{option}` has no part in a sweep over learning rates").into());
    }
    let (config, recipe) = args.recipe.resolve()?;
    args.finder.validate(&recipe)?;
    check_plot(args)?;
    let start = args.start.start(config.seed, global, &global.device()?)?;
    let data = args.data.datasets(start.model.config(), start.tokenizer.as_ref(), config.seed)?;
    let Some(train) = &data.train else { return Err("there is no training data".into()) };
    let mut progress = TrainingProgress::new(global.quiet);
    let sweep = args.finder.run(&config, &recipe, &start.model, train, &mut progress);
    progress.finish();
    let sweep = sweep?;
    if let Some(file) = &args.output {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_dir_all(folder).map_err(gpt2_train::Error::io("create", folder))?;
        }
        write_file(file, lr_plot(&sweep)?.as_bytes())?;
    }
    let suggestions = sweep.suggestions();
    if global.json {
        return Ok(output::json(&json!({
            "points": sweep.points,
            "end": sweep.end,
            "suggestions": {
                "valley": suggestions.valley.map(|found| found.learning_rate),
                "minimum": suggestions.minimum.map(|found| found.learning_rate),
                "steep": suggestions.steep.map(|found| found.learning_rate),
                "slide": suggestions.slide.map(|found| found.learning_rate),
            },
        }))?);
    }
    output::line(lr_table(&sweep))?;
    let rate = |found: Option<gpt2_train::lr_finder::Suggestion>| {
        found.map_or("none: too few steps".to_string(), |found| {
            format!("{:.2e}", found.learning_rate)
        })
    };
    output::line(output::list([
        ("valley", rate(suggestions.valley)),
        ("minimum", rate(suggestions.minimum)),
        ("ended", ending(sweep.end).to_string()),
    ]))?;
    if let Some(file) = args.output.as_ref().filter(|_| global.is_chatty()) {
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

/// Refuses a plot in the place of what is read, or in none.
fn check_plot(args: &LrFindArgs) -> Outcome {
    let Some(file) = &args.output else { return Ok(()) };
    if file.is_dir() {
        return Err(format!("`output` is the folder {}, expected a file", file.display()).into());
    }
    let data = args.data.inputs()?;
    let inputs = data.iter().chain(args.start.inputs()).chain(&args.recipe.file);
    check_output(file, &inputs.map(PathBuf::as_path).collect::<Vec<&Path>>())
}

fn ending(end: SweepEnd) -> &'static str {
    match end {
        SweepEnd::Diverged => "the smoothed loss became more than four times the lowest",
        SweepEnd::NonFinite => "the loss or the gradient became no number",
        _ => "after the last step",
    }
}
