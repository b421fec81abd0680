//! The learning-rate finder: a short run whose rate rises until the loss explodes.
//!
//! It equals `Learner.lr_find` of fastai (the range test of Smith 2015, section 3.3): the rate
//! rises geometrically, the losses are smoothed, and the run ends when they have become four times
//! the best. [`LrSweep::suggestions`] reads a rate off the curve.

mod suggest;

pub(crate) use suggest::SKIPPED_AT_THE_END;
pub use suggest::{LrSuggestions, Suggestion};

use gpt2_core::Gpt2;
use serde::{Deserialize, Serialize};

use crate::callback::{Callback, Callbacks, Control};
use crate::config::TrainingConfig;
use crate::data::Dataset;
use crate::recipe::{Recipe, Stage, StageLength};
use crate::record::Event;
use crate::schedule::Schedule;
use crate::trainer::Trainer;
use crate::{Error, Result};

/// Weight of the past in the smoothed loss, that of fastai's recorder.
const BETA: f64 = 0.98;

/// How many times the best smoothed loss ends a sweep.
const DIVERGED: f64 = 4.0;

/// A sweep over learning rates; the defaults are fastai's.
///
/// With the feature `clap` it is a group of command-line options too.
///
/// # Example
/// ```
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_train::{Dataset, LrFinder, NoCallback, Recipe, TrainingConfig, data};
///
/// # fn main() -> gpt2_train::Result<()> {
/// let config = Gpt2Config { vocab_size: 50, n_embd: 16, n_layer: 1, n_head: 2, ..Gpt2Config::gpt2() };
/// let model = Gpt2::init(&config, 42, &device::best()?)?;
/// let text: Vec<u32> = (0..640).map(|at| at % 50).collect();
/// let train = Dataset::new("training", data::blocks(&[text], None, 32), &config)?;
/// let options = TrainingConfig::default();
/// let finder = LrFinder { num_it: 40, ..LrFinder::default() };
/// let sweep = finder.run(&options, &Recipe::from(&options), &model, &train, &mut NoCallback)?;
/// if let Some(valley) = sweep.suggestions().valley {
///     println!("a learning rate of {:.1e}", valley.learning_rate);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct LrFinder {
    /// Learning rate of the first step
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 1e-7))]
    pub start_lr: f64,
    /// Learning rate that the sweep rises to
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 10.0))]
    pub end_lr: f64,
    /// Steps of the sweep, at least 6
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 100))]
    pub num_it: usize,
    /// Go on to the end even if the loss explodes
    #[cfg_attr(feature = "clap", arg(long = "no-stop-div", action = clap::ArgAction::SetFalse))]
    pub stop_div: bool,
    /// Stage of the recipe whose frozen groups are frozen, counted from 1
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 1))]
    pub stage: usize,
}

/// One step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LrPoint {
    /// Learning rate of all groups.
    pub learning_rate: f64,
    /// Mean loss per token of the step's batch, before the update, in nats.
    pub loss: f64,
    /// Mean of the losses so far, in which older ones count less and less.
    pub smoothed_loss: f64,
}

/// Why a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SweepEnd {
    /// All steps were made.
    Complete,
    /// The smoothed loss became more than four times the best.
    Diverged,
    /// Loss or gradient were no numbers any more; the step at which that happened is not among the
    /// points.
    NonFinite,
    /// A callback stopped it.
    Stopped,
}

/// What a sweep has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct LrSweep {
    /// The steps, in order.
    pub points: Vec<LrPoint>,
    /// How many were to be made.
    pub num_it: usize,
    /// Why there are no more.
    pub end: SweepEnd,
}

impl Default for LrFinder {
    fn default() -> Self {
        Self { start_lr: 1e-7, end_lr: 10.0, num_it: 100, stop_div: true, stage: 1 }
    }
}

impl LrFinder {
    /// Checks every number, that of the stage against a recipe.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first one that is wrong.
    pub fn validate(&self, recipe: &Recipe) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.start_lr) {
            return Err(Error::option("start_lr", self.start_lr, "a number above 0"));
        }
        if !(positive(self.end_lr) && self.end_lr > self.start_lr) {
            let expected = format!("a number above `start_lr`, {}", self.start_lr);
            return Err(Error::option("end_lr", self.end_lr, expected));
        }
        if self.num_it < 6 {
            return Err(Error::option("num_it", self.num_it, "at least 6"));
        }
        let stages = recipe.stages.len();
        if !(1..=stages).contains(&self.stage) {
            return Err(Error::option("stage", self.stage, format!("a stage from 1 to {stages}")));
        }
        Ok(())
    }

    /// Trains a copy of `model` with rising rates and throws it away.
    ///
    /// Batches, optimizer, clipping and frozen groups are those of the options and the recipe, beta1
    /// is `adam_beta1`, and all groups have the same rate, as in fastai: ranges of rates have no part
    /// in a sweep. `callback` hears of the steps; a run that it stops is a shorter sweep.
    ///
    /// # Errors
    /// [`Error::Option`] for numbers that are wrong; what [`Trainer::run`] says, except that a loss
    /// that is no number ends the sweep and is no error.
    pub fn run(
        &self,
        config: &TrainingConfig,
        recipe: &Recipe,
        model: &Gpt2,
        train: &Dataset,
        callback: &mut dyn Callback,
    ) -> Result<LrSweep> {
        self.validate(recipe)?;
        let stage = Stage {
            length: StageLength::Steps(self.num_it),
            frozen_groups: recipe.stages[self.stage - 1].frozen_groups,
            learning_rate: self.end_lr,
            lowest_learning_rate: None,
            schedule: Schedule::Exponential { start: self.start_lr / self.end_lr },
        };
        let recipe = Recipe { stages: vec![stage], ..recipe.clone() };
        // Nothing is evaluated.
        let config = TrainingConfig {
            eval_steps: None,
            eval_on_start: false,
            early_stopping_patience: None,
            load_best_model_at_end: false,
            ..config.clone()
        };
        let mut curve = Curve { stop_div: self.stop_div, ..Curve::default() };
        let trainer = Trainer::with_recipe(config, recipe)?;
        // An epoch of a sweep means nothing.
        let mut steps = |event: &Event, model: &Gpt2| match event {
            Event::Epoch(_) => Ok(Control::Continue),
            _ => callback.on_event(event, model),
        };
        let mut callbacks = Callbacks(vec![&mut curve, &mut steps]);
        let end = match trainer.run(model.clone(), train, None, &mut callbacks) {
            Err(Error::NonFinite { .. }) => SweepEnd::NonFinite,
            Err(error) => return Err(error),
            Ok(_) if curve.diverged => SweepEnd::Diverged,
            Ok(outcome) if outcome.stopped => SweepEnd::Stopped,
            Ok(_) => SweepEnd::Complete,
        };
        Ok(LrSweep { points: curve.points, num_it: self.num_it, end })
    }
}

/// Collects the points and ends the run when the loss has exploded.
#[derive(Debug, Default)]
struct Curve {
    stop_div: bool,
    points: Vec<LrPoint>,
    /// The running mean, which starts at 0 and therefore has to be corrected.
    mean: f64,
    best: Option<f64>,
    diverged: bool,
}

impl Callback for Curve {
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        let Event::Step(record) = event else { return Ok(Control::Continue) };
        self.mean = record.loss + BETA * (self.mean - record.loss);
        let smoothed_loss = self.mean / (1.0 - BETA.powi(self.points.len() as i32 + 1));
        self.points.push(LrPoint {
            learning_rate: record.learning_rate,
            loss: record.loss,
            smoothed_loss,
        });
        let best = self.best.map_or(smoothed_loss, |best| best.min(smoothed_loss));
        self.best = Some(best);
        self.diverged = self.stop_div && smoothed_loss > DIVERGED * best;
        Ok(if self.diverged { Control::Stop } else { Control::Continue })
    }
}
