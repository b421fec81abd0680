//! A run, from its first step to the model folder.

use std::path::{Path, PathBuf};

use gpt2_core::Gpt2;
use gpt2_core::folder::write_file;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::StoredDType;
use gpt2_train::checkpoint::checkpoints;
use gpt2_train::report::{Report, TrainingProgress};
use gpt2_train::{
    Callback, Callbacks, Control, Dataset, Error, Evaluation, Event, Recipe, Trainer,
    TrainingConfig, evaluate, recipe_toml, resolved_options,
};

use super::super::start::Start;
use super::super::watch::run_log;
use super::super::{Failure, Outcome};
use super::summary::{base_model, card};
use super::{CHECKPOINTS, TrainArgs};
use crate::args::Global;
use crate::interrupt::{Interrupt, Interrupted};

/// What a run is about.
pub struct Job<'a> {
    pub args: &'a TrainArgs,
    pub config: &'a TrainingConfig,
    pub recipe: &'a Recipe,
    pub start: &'a Start,
    pub train: &'a Dataset,
    pub valid: Option<&'a Dataset>,
}

impl Job<'_> {
    /// Runs the trainer; a signal ends it with a checkpoint, and then it is an error.
    pub fn run(&self, trainer: &Trainer, global: &Global) -> Result<gpt2_train::Outcome, Failure> {
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
        let report = Report::new(&card.name, &card.summary, self.config, self.recipe);
        let (tokenizer, prompts) = (self.start.tokenizer.as_ref(), &self.args.sample_prompt);
        let mut log = run_log(&self.args.output, report, tokenizer, prompts, self.config.seed);
        let mut screen = screen(self.args, global)?;
        let outcome = trainer.run(
            self.start.model.clone(),
            self.train,
            self.valid,
            &mut Callbacks(vec![&mut options, &mut *screen, &mut log, &mut stop]),
        );
        drop(screen);
        let logged = log.finish();
        if outcome.is_ok() {
            // What ended a run that failed says more than that its page cannot be written either.
            logged?;
        }
        match outcome {
            Ok(outcome) if outcome.stopped => {
                // Without a signal it was the dashboard's key.
                let signal = interrupt.signal().unwrap_or(Interrupt::KEY);
                let checkpoint = self.last_checkpoint()?;
                Err(Box::new(Interrupted::run(signal, outcome.steps, checkpoint.as_deref())))
            }
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(self.with_checkpoint(error)?),
        }
    }

    fn last_checkpoint(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(checkpoints(self.args.output.join(CHECKPOINTS))?.pop().map(|(_, path)| path))
    }

    /// The error, and what is left when the disk or the data are gone.
    fn with_checkpoint(&self, error: Error) -> Result<Failure, Failure> {
        let (Error::Io { .. } | Error::Data { .. } | Error::Core(_)) = &error else {
            return Ok(error.into());
        };
        Ok(match self.last_checkpoint()? {
            Some(checkpoint) => {
                format!("{error}; the last checkpoint is {}", checkpoint.display()).into()
            }
            None => error.into(),
        })
    }

    /// Writes the options as they were resolved.
    fn write_options(&self) -> gpt2_train::Result<()> {
        let output = &self.args.output;
        let resolved = resolved_options(self.config, self.recipe)?;
        write_file(output.join("training_config.json"), resolved.as_bytes())?;
        if self.args.recipe.file.is_some() {
            let recipe = recipe_toml(self.config, self.recipe)?;
            write_file(output.join("recipe.toml"), recipe.as_bytes())?;
        }
        Ok(())
    }

    /// Writes the files of the model, the adapter beside it where there is one.
    pub fn write_model(&self, folder: &Path, outcome: &gpt2_train::Outcome) -> Outcome {
        let (model, start) = (&outcome.model, self.start);
        let (output, epochs) = (&self.args.output, &outcome.epochs);
        let card =
            card(self.args).for_folder(output, model.config(), self.config, self.recipe, epochs);
        let files = ModelToSave {
            model,
            tokenizer: start.tokenizer.as_ref(),
            generation_config: start.generation_config.as_ref(),
            card: card.as_deref(),
            dtype: StoredDType::F32,
        };
        files.write_into(folder)?;
        if model.lora().is_some() {
            model.save_adapter(folder.join("adapter"), base_model(self.args).as_deref())?;
        }
        Ok(())
    }
}

/// What shows on the terminal how a run goes.
#[cfg_attr(not(feature = "dashboard"), allow(unused_variables, clippy::unnecessary_wraps))]
fn screen(args: &TrainArgs, global: &Global) -> Result<Box<dyn Callback>, Failure> {
    #[cfg(feature = "dashboard")]
    if args.dashboard {
        return Ok(Box::new(gpt2_train::report::Dashboard::new()?));
    }
    Ok(Box::new(TrainingProgress::new(global.quiet)))
}

/// The one evaluation of the test part, by the rules of the evaluations before it.
pub fn evaluate_test(
    model: &Gpt2,
    test: &Dataset,
    config: &TrainingConfig,
    recipe: &Recipe,
) -> Result<Evaluation, Failure> {
    let masked = recipe.ignored_token_id.map(|id| test.ignoring(id)).transpose()?;
    let test = masked.as_ref().unwrap_or(test);
    Ok(evaluate(model, test, config.per_device_batch_size, |_| Ok(()))?)
}
