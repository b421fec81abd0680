//! `gpt2 train`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{ArgMatches, Args};
use gpt2_core::folder::{write_file, write_folder};
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_train::data::{Document, block_size, blocks, read_documents, split};
use gpt2_train::report::{MetricsWriter, ModelCard, TrainingProgress, epoch_table};
use gpt2_train::{Callbacks, Dataset, Recipe, RecipeFile, Trainer, TrainingConfig, recipe_toml};
use serde_json::{Map, Value, json};

use super::corpus::{read_all, tokenize};
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
    /// Training data: `.txt` (blank lines separate documents) or `.jsonl` (`text`, or `input_ids`
    /// and `labels`)
    #[arg(long, required = true, num_args = 1.., value_name = "F")]
    data: Vec<PathBuf>,
    /// Validation data, in the forms of the training data
    #[arg(long, num_args = 1.., value_name = "F", conflicts_with = "valid_fraction")]
    valid_data: Vec<PathBuf>,
    /// Share of the documents to hold out for validation
    #[arg(long, value_name = "X")]
    valid_fraction: Option<f64>,
    /// Folder to write: the model, `metrics.jsonl`, `training_config.json`, `recipe.toml` where there
    /// is a recipe; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Tokens of a training sequence [default: the model's context]
    #[arg(long, value_name = "N")]
    block_size: Option<usize>,
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
    check_output(&args.output, &inputs(args))?;
    let device = global.device()?;
    config.dtype.check(&device)?;
    let start = start(args, global, &device)?;
    let (train, valid) = datasets(args, &start)?;
    let mut finished = None;
    write_folder(&args.output, |folder| -> Outcome {
        let mut metrics = MetricsWriter::create(folder.join("metrics.jsonl"))?;
        let mut progress = TrainingProgress::new(global.quiet);
        let outcome = trainer.run(
            start.model.clone(),
            &train,
            valid.as_ref(),
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
    let files = args.data.iter().chain(&args.valid_data);
    let start = args.model.iter().chain(&args.config).chain(&args.tokenizer);
    let files = files.chain(&args.recipe_file);
    files.chain(start).map(PathBuf::as_path).collect()
}

/// Refuses options that do nothing without validation data.
fn check_validation(args: &TrainArgs) -> Outcome {
    if args.valid_fraction.is_some() || !args.valid_data.is_empty() {
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
            return Err(format!("`{option}` needs `--valid-data` or `--valid-fraction`").into());
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

fn datasets(args: &TrainArgs, start: &Start) -> Result<(Dataset, Option<Dataset>), Failure> {
    let config = start.model.config();
    block_size(args.block_size, config)?;
    let documents = read_all(&args.data, "training", config, |file| read_documents(file))?;
    let (train, valid) = match args.valid_fraction {
        Some(fraction) => {
            let (train, valid) = split(documents, fraction, args.recipe.seed)?;
            (train, Some(valid))
        }
        None if args.valid_data.is_empty() => (documents, None),
        None => {
            let read = |file: &Path| read_documents(file);
            (documents, Some(read_all(&args.valid_data, "validation", config, read)?))
        }
    };
    let train = dataset("training", train, args, start)?;
    let valid = valid.map(|valid| dataset("validation", valid, args, start)).transpose()?;
    Ok((train, valid))
}

fn dataset(
    set: &'static str,
    documents: Vec<Document>,
    args: &TrainArgs,
    start: &Start,
) -> Result<Dataset, Failure> {
    let config = start.model.config();
    let block_size = block_size(args.block_size, config)?;
    let tokenized = tokenize(documents, start.tokenizer.as_ref())?;
    let separator = start.tokenizer.as_ref().and_then(|tokenizer| tokenizer.eos_token_id());
    let mut examples = blocks(&tokenized.texts, separator, block_size);
    examples.extend(tokenized.records);
    Ok(Dataset::new(set, examples, config)?)
}

fn card(args: &TrainArgs) -> ModelCard {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let datasets: Vec<String> = args.data.iter().filter_map(|file| name(file)).collect();
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
