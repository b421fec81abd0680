//! `gpt2 train`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{ArgMatches, Args};
use gpt2_core::folder::{write_file, write_folder};
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_train::report::{MetricsWriter, ModelCard, TrainingProgress, epoch_table};
use gpt2_train::{
    Callbacks, Dataset, Evaluation, Recipe, RecipeFile, Trainer, TrainingConfig, evaluate,
    recipe_toml,
};
use serde_json::{Map, Value, json};

use super::corpus::DataArgs;
use super::{Failure, Outcome, check_generation_config, check_output};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 train`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("start").args(["model", "config"]).required(true))]
pub struct TrainArgs {
    /// Model folder or hub id to fine-tune
    #[arg(long)]
    model: Option<PathBuf>,
    /// `config.json` of a new model; needs `--tokenizer`
    #[arg(long, requires = "tokenizer", value_name = "config.json")]
    config: Option<PathBuf>,
    /// Folder with the tokenizer of a new model
    #[arg(long, requires = "config", conflicts_with = "model", value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// What it is trained on.
    #[command(flatten)]
    data: DataArgs,
    /// Folder to write: the model, `metrics.jsonl`, `training_config.json`, `recipe.toml` where there
    /// is a recipe; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Recipe with stages, layer groups and the options below, which override it
    #[arg(long = "recipe", value_name = "R.toml")]
    recipe_file: Option<PathBuf>,
    /// The numbers of the recipe.
    #[command(flatten, next_help_heading = "Recipe")]
    recipe: TrainingConfig,
    /// Names of the numbers that the command line itself gives.
    #[arg(skip)]
    given: Vec<String>,
}

impl TrainArgs {
    /// Notes which options are no defaults; a recipe file stands between the two.
    pub fn note_given(&mut self, matches: &ArgMatches) {
        let is_given = |id: &clap::Id| {
            matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine)
        };
        let ids = matches.ids().filter(|id| is_given(id));
        self.given = ids.map(|id| id.as_str().to_string()).collect();
    }

    /// Options and recipe: those of the file, with what the command line itself gives over them.
    fn resolve(&self) -> Result<(TrainingConfig, Recipe), Failure> {
        let Some(file) = &self.recipe_file else {
            return Ok((self.recipe.clone(), Recipe::from(&self.recipe)));
        };
        let Value::Object(mut options) = serde_json::to_value(&self.recipe)? else {
            return Err("the options are no object".into());
        };
        options.retain(|name, _| self.given.contains(name));
        Ok(RecipeFile::read(file)?.resolve(&options)?)
    }
}

/// A model to start from.
struct Start {
    model: Gpt2,
    tokenizer: Option<Tokenizer>,
    generation_config: Option<Map<String, Value>>,
}

/// Trains and writes the model folder with `metrics.jsonl` and `training_config.json`.
pub fn run(args: &TrainArgs, global: &Global) -> Outcome {
    let (config, recipe) = args.resolve()?;
    let args = &TrainArgs { recipe: config.clone(), ..args.clone() };
    let trainer = Trainer::with_recipe(config.clone(), recipe.clone())?;
    check_validation(args)?;
    check_inputs(args)?;
    let start = start(args, global, &global.device()?)?;
    let tokenizer = start.tokenizer.as_ref();
    let data = args.data.datasets(start.model.config(), tokenizer, config.seed)?;
    let Some(train) = &data.train else { return Err("there is no training data".into()) };
    let mut finished = None;
    write_folder(&args.output, |folder| -> Outcome {
        let mut metrics = MetricsWriter::create(folder.join("metrics.jsonl"))?;
        let mut progress = TrainingProgress::new(global.quiet);
        let outcome = trainer.run(
            start.model.clone(),
            train,
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
        if args.recipe_file.is_some() {
            write_file(folder.join("recipe.toml"), recipe_toml(&config, &recipe)?.as_bytes())?;
        }
        let test = match data.test.as_ref().filter(|_| !outcome.stopped) {
            Some(test) => Some(evaluate_test(&outcome.model, test, &config, &recipe)?),
            None => None,
        };
        finished = Some((outcome, test));
        Ok(())
    })?;
    // Only now, so that a reader who has gone away costs no training run.
    match finished {
        Some((outcome, test)) => report(&outcome, test.as_ref(), args, global),
        None => Ok(()),
    }
}

/// Refuses to write where something lies that is read.
fn check_inputs(args: &TrainArgs) -> Outcome {
    let data = args.data.inputs()?;
    let start = args.model.iter().chain(&args.config).chain(&args.tokenizer);
    let inputs = data.iter().chain(start).chain(&args.recipe_file);
    check_output(&args.output, &inputs.map(PathBuf::as_path).collect::<Vec<_>>())
}

/// Refuses options that do nothing without validation data.
fn check_validation(args: &TrainArgs) -> Outcome {
    if args.data.has_validation()? {
        return Ok(());
    }
    let recipe = &args.recipe;
    for (option, given) in [
        ("eval_steps", recipe.eval_steps.is_some()),
        ("eval_on_start", recipe.eval_on_start),
        ("early_stopping_patience", recipe.early_stopping_patience.is_some()),
        ("load_best_model_at_end", recipe.load_best_model_at_end),
    ] {
        if given {
            let needed = "`--valid-data`, `--valid-fraction` or `--valid-lines`";
            return Err(format!("`{option}` needs {needed}").into());
        }
    }
    Ok(())
}

fn start(args: &TrainArgs, global: &Global, device: &Device) -> Result<Start, Failure> {
    if let Some(model) = &args.model {
        let folder = global.open(model)?;
        check_generation_config(&folder)?;
        return Ok(Start {
            tokenizer: folder.tokenizer_if_any()?,
            generation_config: folder.generation_config()?,
            model: folder.model(device)?,
        });
    }
    let (Some(config), Some(folder)) = (&args.config, &args.tokenizer) else {
        return Err("`--model`, or `--config` and `--tokenizer`, is needed".into());
    };
    let mut config = Gpt2Config::from_file(config)?;
    let tokenizer = Tokenizer::from_folder(folder)?;
    tokenizer.check_fits(config.vocab_size).map_err(|error| error.in_file(folder))?;
    // The special tokens of a new model are those of its tokenizer.
    config.bos_token_id = tokenizer.bos_token_id();
    config.eos_token_id = tokenizer.eos_token_id().into_iter().collect();
    Ok(Start {
        model: Gpt2::init(&config, args.recipe.seed, device)?,
        tokenizer: Some(tokenizer),
        generation_config: None,
    })
}

/// The one evaluation of the test part, by the rules of the evaluations before it.
fn evaluate_test(
    model: &Gpt2,
    test: &Dataset,
    config: &TrainingConfig,
    recipe: &Recipe,
) -> Result<Evaluation, Failure> {
    let masked = recipe.ignored_token_id.map(|id| test.ignoring(id)).transpose()?;
    let test = masked.as_ref().unwrap_or(test);
    Ok(evaluate(model, test, config.per_device_batch_size, |_| Ok(()))?)
}

fn card(args: &TrainArgs) -> ModelCard {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let datasets: Vec<String> = args.data.data.iter().filter_map(|file| name(file)).collect();
    ModelCard {
        name: name(&args.output).unwrap_or_else(|| "GPT-2".to_string()),
        summary: format!("A GPT-2 language model trained on {}.", datasets.join(", ")),
        base_model: args.model.as_ref().and_then(|model| match model.is_dir() {
            // Where it lies on this machine is nobody's business.
            true => name(model),
            false => Some(model.display().to_string()),
        }),
        ..ModelCard::default()
    }
}

fn report(
    outcome: &gpt2_train::Outcome,
    test: Option<&Evaluation>,
    args: &TrainArgs,
    global: &Global,
) -> Outcome {
    let last = outcome.epochs.last();
    if global.json {
        let best = outcome.best.as_ref().map(|(record, _)| record);
        let mut summary = json!({
            "steps": outcome.steps,
            "epochs": last.map_or(0.0, |epoch| epoch.epoch),
            "best": best,
            "last": last.and_then(|epoch| epoch.evaluation),
            "seconds": outcome.seconds,
        });
        if let Some(test) = test {
            summary["test"] = serde_json::to_value(test)?;
        }
        return Ok(output::json(&summary)?);
    }
    output::line(epoch_table(&outcome.epochs))?;
    if let Some(Evaluation { loss, perplexity, accuracy, .. }) = test {
        let accuracy = 100.0 * accuracy;
        output::line(format!(
            "Test: loss {loss:.4}, perplexity {perplexity:.2}, accuracy {accuracy:.2} %."
        ))?;
    }
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}
