//! The training loop.

use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use gpt2_core::{Error as CoreError, Gpt2};

use crate::config::TrainingConfig;
use crate::data::{ClmBatch, Dataset, Example, epoch_order};
use crate::evaluate::evaluate;
use crate::objective::clm_loss;
use crate::optim::{AdamW, AdamWStep, clip_factors, gradient_norms, retain_gradients, total_norm};
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::record::{EpochRecord, EvaluationRecord, Event, StepRecord};
use crate::{Error, Result, parallel};

/// Trains a model with the semantics of Hugging Face's `Trainer`, or those of a [`Recipe`].
///
/// One difference is deliberate: the loss of a step is the mean over the *tokens* of all its
/// micro-batches, so that accumulation gives what one large batch gives.
#[derive(Debug, Clone)]
pub struct Trainer {
    config: TrainingConfig,
    recipe: Recipe,
}

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trained model, off the training device: the best one with `load_best_model_at_end`,
    /// else the last.
    pub model: Gpt2,
    /// The best evaluation and the model at that moment.
    pub best: Option<(EvaluationRecord, Gpt2)>,
    /// A row for each epoch.
    pub epochs: Vec<EpochRecord>,
    /// Optimizer steps made.
    pub steps: usize,
    /// Wall-clock time of the run.
    pub seconds: f64,
}

impl Trainer {
    /// A trainer with checked options.
    ///
    /// # Errors
    /// [`Error::Option`] from [`TrainingConfig::validate`].
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
    /// [`Error::Option`] from [`TrainingConfig::validate`] and [`Recipe::validate`].
    pub fn with_recipe(config: TrainingConfig, recipe: Recipe) -> Result<Self> {
        config.validate()?;
        recipe.validate()?;
        Ok(Self { config, recipe })
    }

    /// An optimizer that has seen nothing yet.
    fn optimizer(&self) -> AdamW {
        AdamW::new(self.config.adamw(self.recipe.adam))
    }

    /// Trains `model` on `train` and, at the end of every epoch, evaluates it on `valid`.
    ///
    /// `on_event` hears of every step and evaluation as it happens, and ends the run with an error
    /// of its own.
    ///
    /// # Errors
    /// [`Error::Option`] when the recipe's groups are not those of this model; [`Error::Dataset`]
    /// when there is nothing but its ignored token;
    /// [`Error::NonFinite`] naming the step at which loss or gradient stop being numbers;
    /// [`gpt2_core::Error::Compute`] when the device fails; what `on_event` returns.
    pub fn run(
        &self,
        model: Gpt2,
        train: &Dataset,
        valid: Option<&Dataset>,
        on_event: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Outcome> {
        let start = Instant::now();
        let model = match self.config.dropout {
            Some(p) => model.with_dropout(p)?,
            None => model,
        };
        let masked = |data: &Dataset| self.recipe.ignored_token_id.map(|id| data.ignoring(id));
        let masked_train = masked(train).transpose()?;
        let masked_valid = valid.and_then(masked).transpose()?;
        let train = masked_train.as_ref().unwrap_or(train);
        let valid = masked_valid.as_ref().or(valid);
        let names: Vec<_> = model.parameters().into_iter().map(|named| named.name).collect();
        let steps_per_epoch = self.config.steps_per_epoch(train.examples().len());
        let plan = Plan::new(&self.recipe, &names, steps_per_epoch)?;
        let mut run = Run {
            trainer: self,
            config: &self.config,
            train,
            valid,
            on_event,
            model: model.train(),
            optimizer: self.optimizer(),
            step: 0,
            steps_per_epoch,
            total_steps: plan.total_steps(),
            plan,
            best: None,
            without_gain: 0,
        };
        (run.on_event)(Event::Started { total_steps: run.total_steps })?;
        let mut epochs = Vec::new();
        while !run.is_over() {
            epochs.push(run.epoch(epochs.len())?);
        }
        let last = run.model.valid();
        Ok(Outcome {
            model: match &run.best {
                Some((_, best)) if self.config.load_best_model_at_end => best.clone(),
                _ => last,
            },
            best: run.best,
            epochs,
            steps: run.step,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// The state of a run.
struct Run<'a> {
    trainer: &'a Trainer,
    config: &'a TrainingConfig,
    plan: Plan,
    train: &'a Dataset,
    valid: Option<&'a Dataset>,
    on_event: &'a mut dyn FnMut(Event) -> Result<()>,
    model: Gpt2,
    optimizer: AdamW,
    step: usize,
    steps_per_epoch: usize,
    total_steps: usize,
    best: Option<(EvaluationRecord, Gpt2)>,
    /// Evaluations since the best one.
    without_gain: usize,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        let patience = self.config.early_stopping_patience;
        self.step >= self.total_steps || patience.is_some_and(|most| self.without_gain >= most)
    }

    fn epochs_done(&self) -> f64 {
        self.step as f64 / self.steps_per_epoch as f64
    }

    /// Goes through the training data once, or until the run is over.
    fn epoch(&mut self, epoch: usize) -> Result<EpochRecord> {
        let start = Instant::now();
        let count = self.train.examples().len();
        let order = match self.config.shuffle {
            true => epoch_order(count, self.config.seed, epoch),
            false => (0..count).collect(),
        };
        // Either may be larger than any data set, and so may their product be than any number.
        let rows_per_step = self
            .config
            .per_device_batch_size
            .saturating_mul(self.config.gradient_accumulation_steps);
        let (mut loss, mut scored) = (0.0, 0);
        let mut evaluation = None;
        for rows in order.chunks(rows_per_step) {
            let rows: Vec<&Example> = rows.iter().map(|&row| &self.train.examples()[row]).collect();
            let step_scored = rows.iter().map(|row| row.scored()).sum::<usize>();
            let record = self.step(&rows, step_scored)?;
            loss += record.loss * step_scored as f64;
            scored += step_scored;
            let due = self.config.eval_steps.is_some_and(|every| self.step.is_multiple_of(every));
            evaluation = if due { self.evaluate()? } else { None };
            if self.is_over() {
                break;
            }
        }
        if evaluation.is_none() {
            evaluation = self.evaluate()?;
        }
        let record = EpochRecord {
            epoch: self.epochs_done(),
            training_loss: loss / scored.max(1) as f64,
            evaluation,
            seconds: start.elapsed().as_secs_f64(),
        };
        (self.on_event)(Event::Epoch(record))?;
        Ok(record)
    }

    /// One optimizer step over all `rows`, in micro-batches.
    fn step(&mut self, rows: &[&Example], scored: usize) -> Result<StepRecord> {
        let start = Instant::now();
        let planned = self.plan.at(self.step);
        if planned.starts_stage {
            self.optimizer = self.trainer.optimizer();
        }
        let (loss, mut gradients) = self.gradients(rows, scored)?;
        retain_gradients(&self.model, &mut gradients, planned.is_trained);
        let norms = gradient_norms(&self.model, &gradients)?;
        let grad_norm = total_norm(&norms);
        self.step += 1;
        for (quantity, value) in [("loss", loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NonFinite { quantity, value, step: self.step });
            }
        }
        let factors = match self.config.max_grad_norm {
            0.0 => vec![1.0; norms.len()],
            most => clip_factors(&norms, self.config.clip, most),
        };
        let model = self.model.clone();
        let step = AdamWStep {
            learning_rates: &planned.learning_rates,
            factors: &factors,
            adam_beta1: planned.adam_beta1,
        };
        self.model = self.optimizer.step(model, gradients, step);
        let tokens = rows.iter().map(|row| row.input_ids.len()).sum();
        let record = StepRecord {
            step: self.step,
            epoch: self.epochs_done(),
            loss,
            learning_rate: planned.group_rates[planned.group_rates.len() - 1],
            lowest_learning_rate: planned.group_rates[0],
            adam_beta1: planned.adam_beta1.unwrap_or(self.config.adam_beta1),
            grad_norm,
            clipped_tensors: factors.iter().filter(|&&factor| factor < 1.0).count(),
            tokens,
            tokens_per_second: tokens as f64 / start.elapsed().as_secs_f64(),
        };
        (self.on_event)(Event::Step(record))?;
        Ok(record)
    }

    /// Mean loss over the `scored` tokens of all rows, and its gradients.
    fn gradients(&self, rows: &[&Example], scored: usize) -> Result<(f64, GradientsParams)> {
        let mut accumulator = GradientsAccumulator::new();
        let mut total = 0.0;
        // Dropout depends on the seed and the step alone, not on what ran before.
        let seed = dropout_seed(self.config.seed, self.step);
        let model = &self.model;
        for (micro, rows) in rows.chunks(self.config.per_device_batch_size).enumerate() {
            let parts = parallel::parts(rows, &model.device());
            let results = parallel::map(&parts, |part, rows| {
                let seed = seed ^ ((micro as u64) << 16) ^ part as u64;
                loss_and_gradients(model, rows, scored, seed)
            });
            for result in results {
                if let Some((loss, gradients)) = result? {
                    accumulator.accumulate(model, gradients);
                    total += loss;
                }
            }
        }
        Ok((total, accumulator.grads()))
    }

    fn evaluate(&mut self) -> Result<Option<EvaluationRecord>> {
        let Some(valid) = self.valid else { return Ok(None) };
        let model = self.model.valid();
        let total = valid.examples().len();
        let on_event = &mut self.on_event;
        let found = evaluate(&model, valid, self.config.per_device_batch_size, |done| {
            on_event(Event::Evaluating { done, total })
        })?;
        let record = EvaluationRecord::new(self.step, self.epochs_done(), &found);
        (self.on_event)(Event::Evaluated(record))?;
        let better = self.best.as_ref().is_none_or(|(best, _)| record.eval_loss < best.eval_loss);
        if better {
            self.best = Some((record, model));
            self.without_gain = 0;
        } else {
            self.without_gain += 1;
        }
        Ok(Some(record))
    }
}

/// The part of the loss, and of its gradients, that comes from some rows.
fn loss_and_gradients(
    model: &Gpt2,
    rows: &[&Example],
    scored: usize,
    dropout_seed: u64,
) -> Result<Option<(f64, GradientsParams)>> {
    // Leaves of its own: graphs that share none can be walked at the same time.
    let model = model.valid().train();
    let Some(mut batch) = ClmBatch::new(rows, &model.device()) else { return Ok(None) };
    batch.input.dropout_seed = Some(dropout_seed);
    let loss = clm_loss(&model, &batch) / scored as f64;
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let loss = loss.try_into_scalar::<f32>().map_err(CoreError::compute)?;
    Ok(Some((f64::from(loss), gradients)))
}

/// A seed for every step of a run; the masks are hashes of it.
fn dropout_seed(seed: u64, step: usize) -> u64 {
    seed ^ ((step as u64) << 32)
}
