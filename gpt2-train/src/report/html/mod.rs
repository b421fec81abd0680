//! `report.html`: a run as one page that needs nothing but itself.

mod chart;
mod curve;
mod page;
mod scale;

use std::path::Path;

use gpt2_core::Gpt2Config;

use self::curve::Curve;
use super::lines::read_lines;
use super::metrics::MetricsRecord;
use super::samples::SampleRecord;
use crate::Result;
use crate::config::TrainingConfig;
use crate::recipe::Recipe;
use crate::record::{EpochRecord, EvaluationRecord, Event, StepRecord};

/// Evaluations whose samples are on the page, besides the first one; all are in `samples.jsonl`.
const LATEST_SAMPLES: usize = 20;

/// What `report.html` tells of a run: key numbers, curves, the card's table, samples, configuration.
///
/// The page is one file without scripts that loads nothing, can be read by daylight and by night,
/// on a screen and on a telephone. It stays small however long the run is: a curve has 400 points
/// at most, and where a point stands for several steps their extremes are drawn too.
///
/// A [`RunLog`](super::RunLog) keeps one up to date.
#[derive(Debug, Clone)]
pub struct Report {
    name: String,
    summary: String,
    training: TrainingConfig,
    recipe: Recipe,
    model: Option<Gpt2Config>,
    total_steps: usize,
    progress: Progress,
    curves: Curves,
    evaluations: Vec<EvaluationRecord>,
    epochs: Vec<EpochRecord>,
    samples: Vec<SampleRecord>,
}

/// How far a run is.
#[derive(Debug, Clone, Default)]
struct Progress {
    step: usize,
    epoch: f64,
    tokens: usize,
    /// Wall-clock time of steps.
    training_seconds: f64,
    /// Wall-clock time of evaluations.
    evaluation_seconds: f64,
    best: Option<EvaluationRecord>,
}

#[derive(Debug, Clone, Default)]
struct Curves {
    loss: Curve,
    rate: Curve,
    lowest_rate: Curve,
    grad_norm: Curve,
}

impl Report {
    /// A report of a run that has not begun; `name` and `summary` stand at the top of the page.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        summary: impl Into<String>,
        training: &TrainingConfig,
        recipe: &Recipe,
    ) -> Self {
        Self {
            name: name.into(),
            summary: summary.into(),
            training: training.clone(),
            recipe: recipe.clone(),
            model: None,
            total_steps: 0,
            progress: Progress::default(),
            curves: Curves::default(),
            evaluations: Vec::new(),
            epochs: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// The page as it is now.
    #[must_use]
    pub fn html(&self) -> String {
        page::page(self)
    }

    /// Takes in what happened to a model of this shape.
    pub fn note(&mut self, event: &Event, model: &Gpt2Config) {
        if self.model.as_ref() != Some(model) {
            self.model = Some(model.clone());
        }
        match event {
            Event::Started { total_steps, .. } => {
                self.total_steps = *total_steps;
                self.progress = Progress::default();
                self.curves = Curves::default();
                self.evaluations.clear();
                self.epochs.clear();
                self.samples.clear();
            }
            Event::Step(record) => self.note_step(record),
            Event::Evaluated(record) => self.note_evaluation(*record),
            Event::Epoch(record) => {
                // One that is done again takes the place of the first.
                self.epochs.retain(|epoch| epoch.step != record.step);
                self.epochs.push(*record);
            }
            _ => {}
        }
    }

    /// Takes in the texts of an evaluation.
    pub fn note_samples(&mut self, records: Vec<SampleRecord>) {
        let steps: Vec<usize> = records.iter().map(|record| record.step).collect();
        self.samples.retain(|sample| !steps.contains(&sample.step));
        self.samples.extend(records);
        let mut steps: Vec<usize> = self.samples.iter().map(|sample| sample.step).collect();
        steps.dedup();
        if let Some(surplus) = steps.len().checked_sub(LATEST_SAMPLES + 1) {
            let dropped = &steps[1..=surplus];
            self.samples.retain(|sample| !dropped.contains(&sample.step));
        }
    }

    /// Takes in what the files of an earlier process say.
    pub(super) fn read(&mut self, metrics: &Path, epochs: &Path, samples: &Path) -> Result<()> {
        read_lines(metrics, |record| match record {
            MetricsRecord::Step(record) => {
                // The file has no lowest rate; not drawing it is better than drawing nought.
                self.note_step(&StepRecord { lowest_learning_rate: f64::NAN, ..record });
            }
            MetricsRecord::Evaluation(record) => self.note_evaluation(record),
        })?;
        read_lines(epochs, |record| self.epochs.push(record))?;
        if samples.exists() {
            read_lines(samples, |record: SampleRecord| {
                if record.step <= self.progress.step {
                    self.note_samples_one_by_one(record);
                }
            })?;
        }
        Ok(())
    }

    fn note_samples_one_by_one(&mut self, record: SampleRecord) {
        let step = record.step;
        let together = self.samples.iter().filter(|sample| sample.step == step).cloned();
        self.note_samples(together.chain([record]).collect());
    }

    fn note_step(&mut self, record: &StepRecord) {
        let progress = &mut self.progress;
        progress.step = record.step;
        progress.epoch = record.epoch;
        progress.tokens += record.tokens;
        progress.training_seconds += record.tokens as f64 / record.tokens_per_second;
        let step = record.step;
        self.curves.loss.push(step, record.loss);
        self.curves.rate.push(step, record.learning_rate);
        self.curves.lowest_rate.push(step, record.lowest_learning_rate);
        self.curves.grad_norm.push(step, record.grad_norm);
    }

    fn note_evaluation(&mut self, record: EvaluationRecord) {
        // One that is done again takes the place of the first.
        let same = self.evaluations.pop_if(|last| last.step == record.step);
        let progress = &mut self.progress;
        progress.evaluation_seconds -= same.map_or(0.0, |same| same.seconds);
        progress.evaluation_seconds += record.seconds;
        let better = |best: EvaluationRecord| record.eval_loss < best.eval_loss;
        if record.step > 0 && progress.best.is_none_or(better) {
            progress.best = Some(record);
        }
        self.evaluations.push(record);
    }
}
