//! A progress bar over the steps of a run.

use std::time::Instant;

use burn::tensor::FloatDType;
use gpt2_core::Gpt2;
use gpt2_core::bench::{flops_per_token, matmul_flops};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::table::duration;
use crate::Result;
use crate::callback::{Callback, Control};
use crate::record::{Event, StepRecord};

/// Shows where a run is: step, time left, loss, learning rate, gradient norm, tokens per second and
/// MFU; and a line for each evaluation and epoch.
///
/// MFU, model FLOPs utilization, is the arithmetic of the model ([`flops_per_token`]) per second as
/// a share of what the device reaches in a product of `f32` matrices ([`matmul_flops`], measured at
/// the first step).
///
/// Writes to standard error, and only where that is a terminal; a log file gets the lines alone.
#[derive(Debug)]
pub struct TrainingProgress {
    bar: ProgressBar,
    quiet: bool,
    speed: Speed,
    pace: Option<Pace>,
    /// FLOPs per second that the device could reach.
    peak: Option<f64>,
    /// Steps that were skipped.
    skipped: usize,
}

impl TrainingProgress {
    /// A bar that appears when the run starts; `quiet` shows nothing at all.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let (bar, speed) = (ProgressBar::hidden(), Speed::default());
        Self { bar, quiet, speed, pace: None, peak: None, skipped: 0 }
    }

    fn show(&mut self, event: &Event, model: &Gpt2) -> Result<()> {
        match event {
            Event::Resumed { checkpoint, changes } => {
                self.line(&format!("going on from {}", checkpoint.display()));
                if !changes.is_empty() {
                    let changes = changes.join(", ");
                    self.line(&format!("the last digits of losses may change: {changes}"));
                }
            }
            Event::Saved { .. } => {}
            Event::Started { step, total_steps, .. } => {
                self.bar = bar(*step, *total_steps);
                self.pace = None;
                self.speed = Speed::default();
            }
            Event::Step(record) => self.step(record, model)?,
            Event::Evaluating { done, total } => {
                self.bar.set_message(format!("evaluating {done}/{total}"));
            }
            Event::Evaluated(record) => self.line(&format!(
                "epoch {:.2}: validation loss {:.4}, perplexity {:.2}, accuracy {:.2} %",
                record.epoch,
                record.eval_loss,
                record.eval_perplexity,
                100.0 * record.eval_accuracy
            )),
            Event::Epoch(record) => {
                if let Some(loss) = record.training_loss {
                    let (epoch, time) = (record.epoch, duration(record.seconds));
                    let speed = self.speed.text(self.peak);
                    self.line(&format!("epoch {epoch:.2}: training loss {loss:.4}, {time}{speed}"));
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, record: &StepRecord, model: &Gpt2) -> Result<()> {
        let peak = match self.peak {
            Some(peak) => peak,
            None => *self.peak.insert(matmul_flops(&model.device(), FloatDType::F32)?),
        };
        let flops =
            record.tokens_per_second * flops_per_token(model.config(), record.sequence_length);
        self.speed.note(record.tokens_per_second, flops);
        let pace = *self.pace.get_or_insert_with(|| Pace::from(record));
        let total = self.bar.length().unwrap_or_default() as usize;
        let left = pace.left(record.step, total, pace.since.elapsed().as_secs_f64());
        self.bar.set_position(record.step as u64);
        self.bar.set_prefix(duration(left));
        self.skipped += usize::from(record.skipped.is_some());
        let mut text = describe(record, &self.speed.text(Some(peak)));
        if self.skipped > 0 {
            text.push_str(&format!(", {} skipped", self.skipped));
        }
        self.bar.set_message(text);
        Ok(())
    }

    /// Takes the bar away; to drop it does the same.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Drop for TrainingProgress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Callback for TrainingProgress {
    fn on_event(&mut self, event: &Event, model: &Gpt2) -> Result<Control> {
        if !self.quiet {
            self.show(event, model)?;
        }
        Ok(Control::Continue)
    }
}

/// How fast a run is, smoothed.
#[derive(Debug, Default)]
struct Speed {
    tokens: f64,
    flops: f64,
    /// Weight of the steps that have been counted.
    weight: f64,
}

/// Weight of the past in the smoothed speed.
const SMOOTHING: f64 = 0.9;

impl Speed {
    fn note(&mut self, tokens_per_second: f64, flops_per_second: f64) {
        let mix = |old: f64, new: f64| SMOOTHING * old + (1.0 - SMOOTHING) * new;
        self.tokens = mix(self.tokens, tokens_per_second);
        self.flops = mix(self.flops, flops_per_second);
        self.weight = mix(self.weight, 1.0);
    }

    /// Tokens per second and the share of `peak`, as the end of a line; nothing before a first step.
    fn text(&self, peak: Option<f64>) -> String {
        if self.weight == 0.0 {
            return String::new();
        }
        let tokens = self.tokens / self.weight;
        match peak {
            Some(peak) => {
                let share = 100.0 * self.flops / self.weight / peak;
                format!(", {tokens:.0} tok/s, MFU {share:.1} %")
            }
            None => format!(", {tokens:.0} tok/s"),
        }
    }
}

/// How long steps take, of those that this process has made.
///
/// Evaluations between steps count, since more of them will follow; what came before the first step
/// of the process does not.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The first step of this process.
    first: usize,
    /// How long it took.
    seconds: f64,
    /// When it was done.
    since: Instant,
}

impl From<&StepRecord> for Pace {
    fn from(record: &StepRecord) -> Self {
        let seconds = record.tokens as f64 / record.tokens_per_second;
        Self { first: record.step, seconds, since: Instant::now() }
    }
}

impl Pace {
    /// Seconds until the last of `total` steps is done, `elapsed` seconds after the first one.
    fn left(&self, step: usize, total: usize, elapsed: f64) -> f64 {
        let made = (step + 1).saturating_sub(self.first).max(1);
        (self.seconds + elapsed) / made as f64 * total.saturating_sub(step) as f64
    }
}

/// What there is to say of a step, for the line below the bar: short, as terminals are narrow.
fn describe(record: &StepRecord, speed: &str) -> String {
    let StepRecord { epoch, loss, learning_rate, grad_norm, .. } = record;
    format!("epoch {epoch:.2}, loss {loss:.4}, lr {learning_rate:.2e}, norm {grad_norm:.3}{speed}")
}

fn bar(step: usize, total_steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(total_steps as u64)
        .with_position(step as u64)
        .with_finish(ProgressFinish::AndClear);
    let template = "{bar:30} {pos}/{len} steps, {elapsed_precise} gone, {prefix} left\n{wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: usize) -> StepRecord {
        StepRecord {
            step,
            epoch: 1.25,
            loss: 3.51,
            learning_rate: 4.8e-5,
            grad_norm: 0.75,
            tokens: 1024,
            tokens_per_second: 512.0,
            ..StepRecord::default()
        }
    }

    #[test]
    fn time_left_counts_the_steps_of_this_process_alone() {
        let resumed = Pace::from(&record(901));
        assert_eq!(resumed.left(901, 1000, 0.0), 2.0 * 99.0);
        assert_eq!(resumed.left(910, 1000, 28.0), 3.0 * 90.0);
        assert_eq!(resumed.left(1000, 1000, 200.0), 0.0);
    }

    #[test]
    fn speed_is_a_mean_from_the_first_step_on() {
        let mut speed = Speed::default();
        assert_eq!(speed.text(Some(1e9)), "");
        speed.note(100.0, 4e8);
        assert_eq!(speed.text(Some(1e9)), ", 100 tok/s, MFU 40.0 %");
        speed.note(100.0, 4e8);
        assert_eq!(speed.text(Some(1e9)), ", 100 tok/s, MFU 40.0 %");
        speed.note(200.0, 8e8);
        assert_eq!(speed.text(None), ", 137 tok/s");
    }

    #[test]
    fn a_step_is_told_in_one_narrow_line() {
        assert_eq!(
            describe(&record(7), ", 512 tok/s, MFU 40.0 %"),
            "epoch 1.25, loss 3.5100, lr 4.80e-5, norm 0.750, 512 tok/s, MFU 40.0 %"
        );
    }
}
