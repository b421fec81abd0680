//! `samples.jsonl`: what the model writes at each evaluation.

use std::fmt;
use std::path::PathBuf;

use gpt2_core::Gpt2;
use serde::{Deserialize, Serialize};

use super::lines::LineFile;
use crate::record::EvaluationRecord;
use crate::{Error, Result};

/// A text that the model wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// What it was given.
    pub prompt: String,
    /// How it went on, without the prompt.
    pub text: String,
}

/// A line of `samples.jsonl`: a sample and when it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Steps done.
    pub step: usize,
    /// Epochs done.
    pub epoch: f64,
    /// The text.
    #[serde(flatten)]
    pub sample: Sample,
}

/// Any error, as a sampler may have its own.
pub type SamplerError = Box<dyn std::error::Error + Send + Sync>;

/// Writes texts with a model; `gpt2-train` itself does not know how.
type Sampler<'a> = Box<dyn FnMut(&Gpt2) -> Result<Vec<Sample>, SamplerError> + 'a>;

/// Asks for samples and writes them down.
pub(super) struct Samples<'a> {
    sampler: Sampler<'a>,
    lines: LineFile,
}

impl fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samples").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<'a> Samples<'a> {
    pub fn new(path: PathBuf, sampler: Sampler<'a>) -> Self {
        Self { sampler, lines: LineFile::new(path) }
    }

    pub fn lines(&mut self) -> &mut LineFile {
        &mut self.lines
    }

    /// Has the model, off the training device, write its texts at an evaluation.
    pub fn write(&mut self, at: &EvaluationRecord, model: &Gpt2) -> Result<Vec<SampleRecord>> {
        let step = at.step;
        let texts = (self.sampler)(model).map_err(|source| Error::Samples { step, source })?;
        let record = |sample| SampleRecord { step, epoch: at.epoch, sample };
        let records: Vec<_> = texts.into_iter().map(record).collect();
        for record in &records {
            self.lines.append(step, record)?;
        }
        Ok(records)
    }
}
