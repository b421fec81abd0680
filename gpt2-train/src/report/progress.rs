//! A progress bar over the steps of a run.

use gpt2_core::Gpt2;
use indicatif::{ProgressBar, ProgressStyle};

use super::table::duration;
use crate::Result;
use crate::callback::{Callback, Control};
use crate::record::Event;

/// Shows where a run is: step, loss, speed, time left; and a line for each evaluation.
///
/// Writes to standard error, and only where that is a terminal; a log file gets the lines alone.
#[derive(Debug)]
pub struct TrainingProgress {
    bar: ProgressBar,
    quiet: bool,
    tokens_per_second: f64,
    skipped: usize,
}

/// Weight of the past in the smoothed speed.
const SMOOTHING: f64 = 0.9;

impl TrainingProgress {
    /// A bar that appears when the run starts; `quiet` shows nothing at all.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { bar: ProgressBar::hidden(), quiet, tokens_per_second: 0.0, skipped: 0 }
    }

    fn show(&mut self, event: &Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::Started { step, total_steps } => self.bar = bar(*step, *total_steps),
            Event::Step(record) => {
                let old = match self.tokens_per_second {
                    0.0 => record.tokens_per_second,
                    old => old,
                };
                self.tokens_per_second =
                    SMOOTHING * old + (1.0 - SMOOTHING) * record.tokens_per_second;
                self.bar.set_position(record.step as u64);
                self.skipped += usize::from(record.skipped.is_some());
                let skipped = match self.skipped {
                    0 => String::new(),
                    count => format!("  {count} skipped"),
                };
                self.bar.set_message(format!(
                    "epoch {:.2}  loss {:.4}  {:.0} tokens/s{skipped}",
                    record.epoch, record.loss, self.tokens_per_second
                ));
            }
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
                    let time = duration(record.seconds);
                    self.line(&format!(
                        "epoch {:.2}: training loss {loss:.4}, {time}",
                        record.epoch
                    ));
                }
            }
        }
    }

    /// Takes the bar away.
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

impl Callback for TrainingProgress {
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        self.show(event);
        Ok(Control::Continue)
    }
}

fn bar(step: usize, total_steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(total_steps as u64).with_position(step as u64);
    let template = "{bar:30} {pos}/{len} steps  {msg}  {elapsed} gone, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
