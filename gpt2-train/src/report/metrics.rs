//! `metrics.jsonl`: one JSON object for each step and each evaluation.

use std::path::{Path, PathBuf};

use gpt2_core::Gpt2;
use serde::{Deserialize, Serialize};

use super::lines::{LineFile, read_lines};
use crate::Result;
use crate::callback::{Callback, Control};
use crate::record::{EvaluationRecord, Event, StepRecord};

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricsRecord {
    /// An optimizer step. What the file does not hold is 0.
    Step(StepRecord),
    /// An evaluation.
    Evaluation(EvaluationRecord),
}

/// Writes the records of a run as they come.
///
/// A run that starts begins a new file; one that goes on from a checkpoint keeps the lines up to its
/// step and drops what came later, so that the file has every step once. Nothing is held back: a
/// process that is killed loses no more than the line that it was writing.
#[derive(Debug)]
pub struct MetricsWriter {
    lines: LineFile,
}

impl MetricsWriter {
    /// A writer of this file; what is in it stays until [`Event::Started`] says what of it is to be
    /// kept.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { lines: LineFile::new(path.into()) }
    }

    /// Writes what there is to write of an event.
    pub(super) fn note(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { step, .. } => self.lines.start(*step),
            Event::Step(record) => self.lines.append(record.step, record),
            Event::Evaluated(record) => self.lines.append(record.step, record),
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.lines.path()
    }
}

impl Callback for MetricsWriter {
    /// Writes the line of a step or an evaluation; other events have none.
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        self.note(event)?;
        Ok(Control::Continue)
    }
}

/// Reads a `metrics.jsonl`; a last line that a killed process has left unfinished is skipped.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when it cannot be read, [`Error::Data`](crate::Error::Data) naming
/// a line that is no record.
pub fn read_metrics(path: impl AsRef<Path>) -> Result<Vec<MetricsRecord>> {
    let mut records = Vec::new();
    read_lines(path.as_ref(), |record| records.push(record))?;
    Ok(records)
}
