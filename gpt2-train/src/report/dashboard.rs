//! Burn's terminal dashboard over our own loop.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use burn_train::Interrupter;
use burn_train::logger::TrainingProgressLogger;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{MetricState, MetricsRenderer, MetricsRendererTraining};
use gpt2_core::Gpt2;

use crate::callback::{Callback, Control};
use crate::record::{EvaluationRecord, Event, StepRecord};
use crate::{Error, Result};

/// Names of the curves, and whether more is better.
const METRICS: [(&str, bool); 6] = [
    ("Loss", false),
    ("Perplexity", false),
    ("Accuracy", true),
    ("Learning rate", true),
    ("Gradient norm", false),
    ("Tokens per second", true),
];

/// Curves and progress on the whole terminal: the dashboard of `burn-train`.
///
/// Opens at the first step. Its key `q` offers to stop, which ends the run as
/// [`Control::Stop`] does, or to kill the program, which is a panic. Closes when it is dropped.
#[derive(Default)]
pub struct Dashboard {
    screen: Option<TuiMetricsRendererWrapper>,
    interrupter: Interrupter,
    total_steps: usize,
    steps_per_epoch: usize,
    /// An evaluation from before the first step.
    before: Option<EvaluationRecord>,
    /// Whether an evaluation is under way.
    evaluating: bool,
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.screen.is_some();
        f.debug_struct("Dashboard").field("is_open", &is_open).finish_non_exhaustive()
    }
}

impl Dashboard {
    /// A dashboard on standard output.
    ///
    /// # Errors
    /// [`Error::Option`] where that is no terminal.
    pub fn new() -> Result<Self> {
        if !std::io::stdout().is_terminal() {
            let found = "on a standard output that is a file or a pipe";
            return Err(Error::option("dashboard", found, "a terminal"));
        }
        Ok(Self::default())
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Started { total_steps, .. } => self.total_steps = *total_steps,
            Event::Step(record) => self.step(record),
            Event::Evaluating { done, total } => self.evaluating(*done, *total),
            Event::Evaluated(record) => self.evaluated(record),
            Event::Epoch(record) => {
                if let Some(screen) = self.screen.as_mut().filter(|_| record.step > 0) {
                    screen.update_epoch(record.epoch.floor() as usize);
                }
            }
            Event::Resumed { .. } | Event::Saved { .. } => {}
        }
    }

    fn step(&mut self, record: &StepRecord) {
        if self.screen.is_none() {
            self.open(record);
        }
        let done = (record.step - 1) % self.steps_per_epoch + 1;
        let Some(screen) = &mut self.screen else { return };
        for (name, value) in [
            ("Loss", record.loss),
            ("Learning rate", record.learning_rate),
            ("Gradient norm", record.grad_norm),
            ("Tokens per second", record.tokens_per_second),
        ] {
            screen.update_train(state(name, value));
        }
        screen.update_split(done);
    }

    fn evaluating(&mut self, done: usize, total: usize) {
        let Some(screen) = &mut self.screen else { return };
        if !std::mem::replace(&mut self.evaluating, true) {
            screen.end_split();
            screen.start_split("valid", total);
        }
        screen.update_split(done);
    }

    fn evaluated(&mut self, record: &EvaluationRecord) {
        let Some(screen) = &mut self.screen else {
            self.before = Some(*record);
            return;
        };
        for (name, value) in [
            ("Loss", record.eval_loss),
            ("Perplexity", record.eval_perplexity),
            ("Accuracy", record.eval_accuracy),
        ] {
            screen.update_valid(state(name, value));
        }
        if std::mem::take(&mut self.evaluating) {
            screen.end_split();
            screen.start_split("train", self.steps_per_epoch);
        }
    }

    /// Takes the terminal over, with what the first step of this process tells of the run.
    fn open(&mut self, record: &StepRecord) {
        self.steps_per_epoch = ((record.step as f64 / record.epoch).round() as usize).max(1);
        let epochs_done = (record.step - 1) / self.steps_per_epoch;
        let epochs = self.total_steps.div_ceil(self.steps_per_epoch);
        let mut screen =
            TuiMetricsRendererWrapper::new(self.interrupter.clone(), Some(epochs_done));
        for (name, higher_is_better) in METRICS {
            screen.register_metric(MetricDefinition {
                metric_id: id(name),
                name: Arc::new(name.to_string()),
                description: None,
                attributes: MetricAttributes::Numeric(NumericAttributes {
                    unit: None,
                    higher_is_better,
                }),
            });
        }
        // Burn counts epochs from 1.
        screen.start(epochs, epochs_done + 1, None, Some("GPT-2"));
        screen.start_split("train", self.steps_per_epoch);
        self.screen = Some(screen);
        if let Some(before) = self.before.take() {
            self.evaluated(&before);
        }
    }
}

impl Callback for Dashboard {
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        self.show(event);
        Ok(if self.interrupter.should_stop() { Control::Stop } else { Control::Continue })
    }
}

fn id(name: &str) -> MetricId {
    MetricId::new(Arc::new(name.to_string()))
}

/// A value of a metric: a point of its curve and the text beside it.
fn state(name: &str, value: f64) -> MetricState {
    let text = match value.abs() {
        size if size > 0.0 && size < 1e-2 => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    };
    let entry = MetricEntry::new(id(name), SerializedEntry::new(text.clone(), text));
    MetricState::Numeric(entry, value.is_finite().then_some(NumericEntry::Value(value)))
}
