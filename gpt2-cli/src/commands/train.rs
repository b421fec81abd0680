//! `gpt2 train`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{ArgMatches, Args};
use gpt2_core::folder::{check_run_folder, write_file, write_within};
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_train::checkpoint::checkpoints;
use gpt2_train::data::{Document, block_size, blocks, read_documents, split};
use gpt2_train::report::{ModelCard, Report, TrainingProgress, epoch_table};
use gpt2_train::{
    Callbacks, Checkpoints, Control, Dataset, Error, Event, Recipe, RecipeFile, Resume, Trainer,
    TrainingConfig, recipe_toml, resolved_options,
};
use serde_json::{Map, Value, json};

use super::corpus::{read_all, tokenize};
use super::watch::run_log;
use super::{Failure, Outcome, check_generation_config, check_output};
use crate::args::Global;
use crate::interrupt::{Interrupt, Interrupted};
use crate::output;

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
    /// Folder to write: the model, `checkpoints`, `report.html`, `metrics.jsonl`, `runs` for TensorBoard,
    /// `training_config.json`, `recipe.toml` where there is a recipe, `adapter` with `--lora-r`, which the model has merged; an earlier model
    /// there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What the texts in `report.html` begin with, one for each evaluation [default: nothing]
    #[arg(long, value_name = "T")]
    sample_prompt: Vec<String>,
    /// Go on from the latest checkpoint in the output folder, if there is one
    #[arg(long)]
    resume: bool,
    /// Go on from this checkpoint
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    resume_from_checkpoint: Option<PathBuf>,
    /// Remove the checkpoints of an earlier run in the output folder
    #[arg(long, conflicts_with_all = ["resume", "resume_from_checkpoint"])]
    overwrite_output_dir: bool,
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

    /// What becomes of the checkpoints in the output folder.
    fn resume(&self) -> Resume {
        match &self.resume_from_checkpoint {
            Some(path) => Resume::From(path.clone()),
            None if self.resume => Resume::Latest,
            None if self.overwrite_output_dir => Resume::Overwrite,
            None => Resume::No,
        }
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

/// Trains, keeps checkpoints meanwhile, and writes the model folder in the end.
pub fn run(args: &TrainArgs, global: &Global) -> Outcome {
    let (config, recipe) = args.resolve()?;
    let args = &TrainArgs { recipe: config.clone(), ..args.clone() };
    let trainer = Trainer::with_recipe(config, recipe.clone())?;
    check_validation(args)?;
    check_output(&args.output, &inputs(args))?;
    check_run_folder(&args.output, |name| RUN_FILES.contains(&name))?;
    let device = global.device()?;
    args.recipe.dtype.check(&device)?;
    let start = start(args, global, &device)?;
    let (train, valid) = datasets(args, &start)?;
    let trainer = trainer.with_checkpoints(Checkpoints {
        folder: args.output.join(CHECKPOINTS),
        resume: args.resume(),
        tokenizer: start.tokenizer.clone(),
    });
    let job = Job { args, recipe: &recipe, start: &start, train: &train, valid: valid.as_ref() };
    let outcome = job.run(&trainer, global)?;
    write_within(&args.output, |folder| job.write_model(folder, &outcome))?;
    report(&outcome, args, global)
}

/// What a run is about.
struct Job<'a> {
    args: &'a TrainArgs,
    recipe: &'a Recipe,
    start: &'a Start,
    train: &'a Dataset,
    valid: Option<&'a Dataset>,
}

impl Job<'_> {
    /// Runs the trainer; a signal ends it with a checkpoint, and then it is an error.
    fn run(&self, trainer: &Trainer, global: &Global) -> Result<gpt2_train::Outcome, Failure> {
        let interrupt = Interrupt::listen()?;
        let mut stop = |_: &Event, _: &Gpt2| -> gpt2_train::Result<Control> {
            Ok(interrupt.signal().map_or(Control::Continue, |_| Control::Stop))
        };
        // When the run has begun, so that one that is refused writes nothing.
        let mut options = |event: &Event, _: &Gpt2| -> gpt2_train::Result<Control> {
            if let Event::Started { .. } = event {
                self.write_options()?;
            }
            Ok(Control::Continue)
        };
        let card = card(self.args);
        let report = Report::new(&card.name, &card.summary, &self.args.recipe, self.recipe);
        let (tokenizer, prompts) = (self.start.tokenizer.as_ref(), &self.args.sample_prompt);
        let seed = self.args.recipe.seed;
        let mut log = run_log(&self.args.output, report, tokenizer, prompts, seed);
        let mut progress = TrainingProgress::new(global.quiet);
        let outcome = trainer.run(
            self.start.model.clone(),
            self.train,
            self.valid,
            &mut Callbacks(vec![&mut options, &mut progress, &mut log, &mut stop]),
        );
        progress.finish();
        if outcome.is_ok() || self.args.output.is_dir() {
            log.finish()?;
        }
        match (outcome, interrupt.signal()) {
            (Ok(outcome), Some(signal)) if outcome.stopped => {
                let (step, checkpoint) = (outcome.steps, self.last_checkpoint()?);
                Err(Box::new(Interrupted { signal, step, checkpoint }))
            }
            (Ok(outcome), _) => Ok(outcome),
            (Err(error), _) => Err(self.with_checkpoint(error)?),
        }
    }

    fn last_checkpoint(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(checkpoints(self.args.output.join(CHECKPOINTS))?.pop().map(|(_, path)| path))
    }

    /// The error, and what is left when the disk or the data are gone.
    fn with_checkpoint(&self, error: Error) -> Result<Failure, Failure> {
        let (Error::Io { .. } | Error::Core(_)) = &error else { return Ok(error.into()) };
        Ok(match self.last_checkpoint()? {
            Some(checkpoint) => {
                format!("{error}; the last checkpoint is {}", checkpoint.display()).into()
            }
            None => error.into(),
        })
    }

    /// Writes the options as they were resolved.
    fn write_options(&self) -> gpt2_train::Result<()> {
        let (config, output) = (&self.args.recipe, &self.args.output);
        let resolved = resolved_options(config, self.recipe)?;
        write_file(output.join("training_config.json"), resolved.as_bytes())?;
        if self.args.recipe_file.is_some() {
            let recipe = recipe_toml(config, self.recipe)?;
            write_file(output.join("recipe.toml"), recipe.as_bytes())?;
        }
        Ok(())
    }

    fn write_model(&self, folder: &Path, outcome: &gpt2_train::Outcome) -> Outcome {
        let (model, start) = (&outcome.model, self.start);
        // The text of an earlier card is its owner's.
        let existing = fs::read_to_string(self.args.output.join("README.md")).ok();
        let card = card(self.args).update(
            existing.as_deref(),
            model.config(),
            &self.args.recipe,
            self.recipe,
            &outcome.epochs,
        );
        let files = ModelToSave {
            model,
            tokenizer: start.tokenizer.as_ref(),
            generation_config: start.generation_config.as_ref(),
            card: Some(&card),
            dtype: StoredDType::F32,
        };
        files.write_into(folder)?;
        if model.lora().is_some() {
            model.save_adapter(folder.join("adapter"), base_model(self.args).as_deref())?;
        }
        Ok(())
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
    let datasets: Vec<String> = args.data.iter().filter_map(|file| name(file)).collect();
    ModelCard {
        name: name(&args.output).unwrap_or_else(|| "GPT-2".to_string()),
        summary: format!("A GPT-2 language model trained on {}.", datasets.join(", ")),
        base_model: base_model(args),
        ..ModelCard::default()
    }
}

/// What is said of the model that was fine-tuned.
fn base_model(args: &TrainArgs) -> Option<String> {
    args.model.as_ref().and_then(|model| match model.is_dir() {
        // Where it lies on this machine is nobody's business.
        true => name(model),
        false => Some(model.display().to_string()),
    })
}

fn name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
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
