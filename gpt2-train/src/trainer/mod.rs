//! The training loop.

mod checkpointed;
mod gradients;
mod launched;
mod run;
mod sums;

use gpt2_core::Gpt2;

use self::run::Run;
use crate::Result;
use crate::callback::Callback;
use crate::checkpoint::Checkpoints;
use crate::config::TrainingConfig;
use crate::data::Dataset;
use crate::optim::AdamW;
use crate::recipe::Recipe;
use crate::record::{EpochRecord, EvaluationRecord};

/// Trains a model with the semantics of Hugging Face's `Trainer`, or those of a [`Recipe`].
///
/// One difference is deliberate: the loss of a step is the mean over the *tokens* of all its
/// micro-batches, so that accumulation gives what one large batch gives.
#[derive(Debug, Clone)]
pub struct Trainer {
    config: TrainingConfig,
    recipe: Recipe,
    checkpoints: Option<Checkpoints>,
}

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trained model, off the training device: the best one with `load_best_model_at_end`,
    /// else the last. LoRA is still beside its weights: see [`Gpt2::save_adapter`] and
    /// [`Gpt2::merge_lora`].
    pub model: Gpt2,
    /// The best evaluation and the model at that moment.
    pub best: Option<(EvaluationRecord, Gpt2)>,
    /// A row for each epoch.
    pub epochs: Vec<EpochRecord>,
    /// Optimizer steps made, skipped ones included.
    pub steps: usize,
    /// Steps that changed nothing; the reason of each is in its record.
    pub skipped_steps: usize,
    /// Wall-clock time of the run.
    pub seconds: f64,
    /// Whether a callback ended it before its time.
    pub stopped: bool,
}

impl Trainer {
    /// A trainer with checked options.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) from [`TrainingConfig::validate`].
    pub fn new(config: TrainingConfig) -> Result<Self> {
        let recipe = Recipe::from(&config);
        Self::with_recipe(config, recipe)
    }

    /// A trainer that goes through the stages of a recipe.
    ///
    /// They have their own length, learning rates and schedules: those of `config` are not used,
    /// and its other options hold for all stages.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) from [`TrainingConfig::validate`] and [`Recipe::validate`].
    pub fn with_recipe(config: TrainingConfig, recipe: Recipe) -> Result<Self> {
        config.validate()?;
        recipe.validate()?;
        Ok(Self { config, recipe, checkpoints: None })
    }

    /// Keeps checkpoints: at the end of every epoch or every `save_steps`, when the run ends and when
    /// a callback asks for one; and goes on from one if `checkpoints` says so.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// An optimizer that has seen nothing yet.
    fn optimizer(&self) -> AdamW {
        AdamW::new(self.config.adamw(self.recipe.adam))
    }

    /// Trains `model` on `train` and, at the end of every epoch, evaluates it on `valid`.
    ///
    /// With `lora_r`, or when the model comes with LoRA, only the low-rank weights are trained.
    ///
    /// `callback`, which may be a closure, hears of every step and evaluation as it happens and may
    /// end the run: with [`Control::Stop`](crate::Control::Stop), or with an error of its own.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) when the recipe's groups are not those of this model, or its device does not
    /// compute in the configured `dtype`; what [`Gpt2::with_lora`] says; [`Error::Dataset`](crate::Error::Dataset) when there is
    /// nothing but its ignored token;
    /// [`Error::EarlierRun`](crate::Error::EarlierRun), [`Error::OtherRun`](crate::Error::OtherRun) and
    /// [`Error::Busy`](crate::Error::Busy) about its checkpoints; [`Error::Io`](crate::Error::Io) when
    /// one cannot be written, earlier ones being untouched;
    /// [`Error::NonFinite`](crate::Error::NonFinite) naming the step at which loss or gradient stop being numbers;
    /// [`Error::Device`](crate::Error::Device) when the device fails, naming the last checkpoint;
    /// [`gpt2_core::Error::OutOfMemory`] or [`gpt2_core::Error::TooLarge`] for what a GPU has no room for, before the first step where
    /// that can be known; what `callback` returns.
    pub fn run(
        &self,
        model: Gpt2,
        train: &Dataset,
        valid: Option<&Dataset>,
        callback: &mut dyn Callback,
    ) -> Result<Outcome> {
        self.config.dtype.check(&model.device())?;
        let model = match self.config.dropout {
            Some(p) => model.with_dropout(p)?,
            None => model,
        };
        let model = match self.config.lora() {
            Some(lora) => model.with_lora(&lora, self.config.seed)?,
            None => model,
        };
        let masked = |data: &Dataset| self.recipe.ignored_token_id.map(|id| data.ignoring(id));
        let masked_train = masked(train).transpose()?;
        let masked_valid = valid.and_then(masked).transpose()?;
        let train = masked_train.as_ref().unwrap_or(train);
        let valid = masked_valid.as_ref().or(valid);
        Run::new(self, model, train, valid, callback)?.run()
    }
}
