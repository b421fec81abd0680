//! The step loop.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use gpt2_core::{Error as CoreError, Gpt2, device, ops};

use super::gradients::gradients;
use super::launched::{self, Launched, Measured};
use super::{Outcome, Trainer};
use crate::Result;
use crate::callback::{Callback, Control};
use crate::checkpoint::{Place, Restored, RunIdentity, Snapshot, checkpoints};
use crate::config::TrainingConfig;
use crate::data::{Dataset, Example, epoch_order};
use crate::evaluate::evaluate_while;
use crate::optim::{AdamW, AdamWStep, Factors, clip_factors_on_device, gradient_squares};
use crate::plan::Plan;
use crate::record::{EpochRecord, EvaluationRecord, Event, SkipReason};
use crate::state::RunState;

/// A run under way.
pub(super) struct Run<'a> {
    trainer: &'a Trainer,
    config: &'a TrainingConfig,
    plan: Plan,
    train: &'a Dataset,
    valid: Option<&'a Dataset>,
    callback: &'a mut dyn Callback,
    model: Gpt2,
    optimizer: AdamW,
    state: RunState,
    /// Model of the best evaluation.
    best: Option<Gpt2>,
    /// Where checkpoints go, and what they are of.
    place: Option<(Place, RunIdentity)>,
    /// The latest checkpoint of this run, and its step.
    saved: Option<(usize, PathBuf)>,
    /// Whether a callback has asked for one.
    wants_save: bool,
    /// The last step, while its numbers are on their way.
    launched: Option<Launched>,
    /// When those of a step arrived last.
    settled: Option<Instant>,
    steps_per_epoch: usize,
    /// The order of an epoch, and its number.
    order: Option<(usize, Vec<usize>)>,
    /// Whether a callback has asked for the end.
    stopped: bool,
    /// Since when time has been counted.
    clock: Instant,
}

impl<'a> Run<'a> {
    pub fn new(
        trainer: &'a Trainer,
        model: Gpt2,
        train: &'a Dataset,
        valid: Option<&'a Dataset>,
        callback: &'a mut dyn Callback,
    ) -> Result<Self> {
        if model.is_compact() {
            let expected = "one of f32; `gpt2 convert` makes one of a quantized folder";
            return Err(CoreError::argument("model", "quantized or of bf16", expected).into());
        }
        let config = &trainer.config;
        let names: Vec<_> = model.parameters().into_iter().map(|named| named.name).collect();
        let steps_per_epoch = config.steps_per_epoch(train.len());
        let plan = Plan::new(&trainer.recipe, &names, steps_per_epoch)?;
        check_memory(&model, plan.at(plan.total_steps().saturating_sub(1)).is_trained)?;
        Ok(Self {
            trainer,
            config,
            plan,
            train,
            valid,
            callback,
            model: model.train(),
            optimizer: trainer.optimizer(),
            state: RunState::new(config),
            best: None,
            place: None,
            saved: None,
            wants_save: false,
            launched: None,
            settled: None,
            steps_per_epoch,
            order: None,
            stopped: false,
            clock: Instant::now(),
        })
    }

    /// Takes the place for checkpoints into use, and goes on from one if there is one to go on from.
    fn open_place(&mut self) -> Result<()> {
        let Some(options) = &self.trainer.checkpoints else { return Ok(()) };
        let (config, recipe) = (self.config, &self.trainer.recipe);
        let identity = RunIdentity::new(config, recipe, &self.model, self.train, self.valid)?;
        let (place, from) = Place::open(options)?;
        if let Some(path) = from {
            let found = Restored::read(&path, &identity, &self.model, &mut self.optimizer)?;
            self.optimizer.set_steps(found.state.optimizer_steps);
            place.forget_after(found.state.step)?;
            self.saved = Some((found.state.step, path));
            self.state = found.state;
            self.model = found.model.train();
            self.best = found.best;
            self.tell(&Event::Resumed { checkpoint: found.path, changes: found.changes })?;
        }
        self.place = Some((place, identity));
        Ok(())
    }

    /// Goes through the steps to the end, or to where a callback stops it.
    pub fn run(mut self) -> Result<Outcome> {
        self.open_place()?;
        let total_steps = self.plan.total_steps();
        let evaluated = self.state.evaluation.map(|evaluation| evaluation.step);
        self.tell(&Event::Started { step: self.state.step, evaluated, total_steps })?;
        let device = self.model.device();
        let mut goes_on = !self.stopped;
        while goes_on {
            let (step, trainer) = (self.state.step, self.trainer);
            let turn = device::guarded(&device, || self.turn());
            // What a turn has saved is lost with it; the folder knows.
            let left = || latest(&trainer.checkpoints.as_ref()?.folder);
            (self, goes_on) = turn.map_err(|error| error.of_device_after(step, left()))?;
        }
        if self.stopped && self.state.step > 0 {
            self.save()?;
        }
        self.count_time();
        // The caller's program may go on for long without another run.
        ops::release_memory();
        let last = self.model.valid();
        let best = self.state.best.zip(self.best);
        Ok(Outcome {
            model: match &best {
                Some((_, best)) if self.config.load_best_model_at_end => best.clone(),
                _ => last,
            },
            best,
            epochs: self.state.epochs,
            steps: self.state.step,
            skipped_steps: self.state.skipped_steps,
            seconds: self.state.seconds,
            stopped: self.stopped,
        })
    }

    /// What is due, and a step. Says whether there is more to do.
    fn turn(mut self) -> Result<(Self, bool)> {
        // What is due follows from the state alone, so that a run that goes on from a
        // checkpoint does what was still to be done at its step.
        if self.is_anything_due() {
            self.settle()?;
        }
        if self.is_evaluation_due() {
            self.evaluate()?;
        }
        if self.is_epoch_to_close() {
            self.close_epoch()?;
        }
        if self.is_save_due() {
            self.save()?;
        }
        if self.stopped || self.is_over() {
            return Ok((self, false));
        }
        let mut run = self.step()?;
        if run.stopped {
            run.settle()?;
        }
        let goes_on = !run.stopped;
        Ok((run, goes_on))
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        let control = self.callback.on_event(event, &self.model)?;
        self.heed(control);
        Ok(())
    }

    fn heed(&mut self, control: Control) {
        self.stopped |= control == Control::Stop;
        self.wants_save |= control == Control::Save;
    }

    /// Adds the time since the last call to the run's and the epoch's.
    fn count_time(&mut self) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.state.seconds += seconds;
        self.state.epoch_seconds += seconds;
    }

    fn is_over(&self) -> bool {
        let patience = self.config.early_stopping_patience;
        self.state.step >= self.plan.total_steps()
            || patience.is_some_and(|most| self.state.without_gain >= most)
    }

    /// Whether the data has been gone through, or the run is over inside an epoch.
    fn ends_epoch(&self) -> bool {
        let step = self.state.step;
        step > 0 && (step.is_multiple_of(self.steps_per_epoch) || self.is_over())
    }

    fn is_evaluation_due(&self) -> bool {
        let step = self.state.step;
        let by_steps = self.config.eval_steps.is_some_and(|every| step.is_multiple_of(every));
        let due = match step {
            0 => self.config.eval_on_start,
            _ => by_steps || self.ends_epoch(),
        };
        due && self.valid.is_some() && self.state.evaluation_here().is_none()
    }

    fn is_save_due(&self) -> bool {
        let step = self.state.step;
        let regular = match self.config.save_steps {
            Some(every) => step.is_multiple_of(every),
            None => self.ends_epoch(),
        };
        step > 0 && (regular || self.wants_save || self.is_over())
    }

    /// Whether anything is to be done before the next step that depends on the last one's numbers.
    fn is_anything_due(&self) -> bool {
        self.is_evaluation_due() || self.is_epoch_to_close() || self.is_save_due() || self.is_over()
    }

    /// Writes a checkpoint, unless the current step has one.
    fn save(&mut self) -> Result<()> {
        self.count_time();
        self.wants_save = false;
        let step = self.state.step;
        if self.saved.as_ref().is_some_and(|(saved, _)| *saved == step) {
            return Ok(());
        }
        self.state.optimizer_steps = self.optimizer.steps();
        self.state.is_finished = self.is_over();
        let Some((place, identity)) = &self.place else { return Ok(()) };
        let checkpoint = place.save(&Snapshot {
            identity,
            state: &self.state,
            model: &self.model,
            optimizer: &self.optimizer,
            best: self.best.as_ref(),
        })?;
        let best = self.state.best.filter(|_| self.config.load_best_model_at_end);
        place.prune(self.config.save_total_limit, best.map(|best| best.step))?;
        self.saved = Some((step, checkpoint.clone()));
        self.tell(&Event::Saved { step, checkpoint })
    }

    fn is_epoch_to_close(&self) -> bool {
        let closed = self.state.epochs.last().map(|last| last.step);
        let open = closed != Some(self.state.step) && !self.is_evaluation_due();
        open && match self.state.step {
            0 => self.state.evaluation_here().is_some(),
            _ => self.ends_epoch(),
        }
    }

    fn epochs_done(&self) -> f64 {
        self.state.step as f64 / self.steps_per_epoch as f64
    }

    fn close_epoch(&mut self) -> Result<()> {
        self.count_time();
        let state = &self.state;
        let record = EpochRecord {
            step: state.step,
            epoch: self.epochs_done(),
            training_loss: (state.step > 0)
                .then(|| state.epoch_loss / state.epoch_scored.max(1) as f64),
            evaluation: state.evaluation_here(),
            seconds: state.epoch_seconds,
        };
        self.state.epochs.push(record);
        self.state.epoch_loss = 0.0;
        self.state.epoch_scored = 0;
        self.state.epoch_seconds = 0.0;
        self.tell(&Event::Epoch(record))
    }

    /// The sequences of the current step.
    fn rows(&mut self) -> Result<Vec<Cow<'a, Example>>> {
        let epoch = self.state.step / self.steps_per_epoch;
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let count = self.train.len();
            let order = match self.config.shuffle {
                true => epoch_order(count, self.config.seed, epoch),
                false => (0..count).collect(),
            };
            self.order = Some((epoch, order));
        }
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| order);
        // Either may be larger than any data set, and so may their product be than any number.
        let rows_per_step = self
            .config
            .per_device_batch_size
            .saturating_mul(self.config.gradient_accumulation_steps);
        let first = (self.state.step % self.steps_per_epoch).saturating_mul(rows_per_step);
        let last = first.saturating_add(rows_per_step).min(order.len());
        order[first..last].iter().map(|&row| self.train.example(row)).collect()
    }

    /// One optimizer step. By value, so that the optimizer can have the weights to itself and change
    /// them where they lie.
    fn step(mut self) -> Result<Self> {
        let start = Instant::now();
        let rows = self.rows()?;
        let rows: Vec<&Example> = rows.iter().map(AsRef::as_ref).collect();
        let scored = rows.iter().map(|row| row.scored()).sum::<usize>();
        let planned = self.plan.at(self.state.step);
        if planned.starts_stage {
            self.optimizer = self.trainer.optimizer();
        }
        let (losses, gradients) =
            gradients(&self.model, self.config, &rows, scored, &self.state, planned.is_trained)?;
        let squares = gradient_squares(&self.model, &gradients);
        let number = self.state.step + 1;
        let epoch = number as f64 / self.steps_per_epoch as f64;
        let record = launched::planned(number, epoch, &rows, &planned, self.config);
        let launched = Launched::new(record, scored, losses, squares.clone(), start);
        let mut step = AdamWStep {
            learning_rates: &planned.learning_rates,
            factors: Factors::None,
            adam_beta1: planned.adam_beta1,
        };
        if self.runs_ahead() {
            let TrainingConfig { clip, max_grad_norm, .. } = *self.config;
            let factors = clip_factors_on_device(squares, clip, max_grad_norm);
            step.factors = factors.as_ref().map_or(Factors::None, Factors::OnDevice);
            self.model = self.optimizer.step(self.model, gradients, step);
            self.state.step = number;
            self.settle()?;
            self.launched = Some(launched);
            return Ok(self);
        }
        let measured = launched.measure(self.settled)?;
        let skipped = self.judge(&measured)?;
        let factors = measured.factors(self.config);
        step.factors = Factors::Known(&factors);
        if skipped.is_none() {
            self.model = self.optimizer.step(self.model, gradients, step);
        }
        self.state.step = number;
        self.note(measured, skipped)?;
        Ok(self)
    }

    /// Whether a step is taken whatever its numbers are, on a device that computes beside the host: then the next
    /// step is prepared while those of the last one are on their way.
    fn runs_ahead(&self) -> bool {
        device::is_gpu(&self.model.device()) && self.state.takes_every_step()
    }

    /// Hears of the step whose numbers are on their way, if there is one.
    fn settle(&mut self) -> Result<()> {
        let Some(launched) = self.launched.take() else { return Ok(()) };
        let measured = launched.measure(self.settled)?;
        let skipped = self.judge(&measured)?;
        self.note(measured, skipped)
    }

    fn judge(&mut self, measured: &Measured) -> Result<Option<SkipReason>> {
        let Measured { record, .. } = measured;
        self.state
            .judge(self.config, record.step, record.loss, record.grad_norm)
            .map_err(|error| error.with_checkpoint(self.saved.as_ref().map(|(_, path)| path)))
    }

    /// Counts a step and tells of it.
    fn note(&mut self, measured: Measured, skipped: Option<SkipReason>) -> Result<()> {
        self.settled = Some(Instant::now());
        let scored = measured.scored;
        let record = measured.judged(self.config, skipped);
        if record.loss.is_finite() {
            self.state.epoch_loss += record.loss * scored as f64;
            self.state.epoch_scored += scored;
        }
        self.tell(&Event::Step(record))
    }

    /// Evaluates, unless a callback breaks it off.
    fn evaluate(&mut self) -> Result<()> {
        let Some(valid) = self.valid else { return Ok(()) };
        let model = self.model.valid();
        let (callback, training) = (&mut *self.callback, &self.model);
        let (total, stopped) = (valid.len(), &mut self.stopped);
        let found = evaluate_while(&model, valid, self.config.per_device_batch_size, |done| {
            let control = callback.on_event(&Event::Evaluating { done, total }, training)?;
            *stopped |= control == Control::Stop;
            Ok(!*stopped)
        })?;
        let Some(found) = found else { return Ok(()) };
        let record = EvaluationRecord::new(self.state.step, self.epochs_done(), &found);
        if self.state.note_evaluation(record) {
            self.best = Some(model);
        }
        self.tell(&Event::Evaluated(record))
    }
}

/// The latest checkpoint of a folder.
fn latest(folder: &Path) -> Option<PathBuf> {
    checkpoints(folder).ok()?.pop().map(|(_, path)| path)
}

/// Refuses a run whose weights, gradients and two moments alone are more than a GPU has, at a step that trains these
/// parameters: activations come on top of them.
fn check_memory(model: &Gpt2, is_trained: &[bool]) -> Result<()> {
    let Some(limits) = device::limits(&model.device()) else { return Ok(()) };
    let counts = model.parameters().into_iter().map(|named| named.shape.iter().product::<usize>());
    let numbers =
        counts.zip(is_trained).map(|(count, &trained)| if trained { 4 * count } else { count });
    Ok(limits.check("a training step", 0, 4 * numbers.sum::<usize>() as u64)?)
}
