//! `metrics.jsonl`: one JSON object for each step and each evaluation.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gpt2_core::Gpt2;
use serde::Serialize;

use crate::callback::{Callback, Control};
use crate::record::Event;
use crate::{Error, Result};

/// Writes the records of a run as they come.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl MetricsWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    fn line(&mut self, record: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.file, record)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.flush())
            .map_err(Error::io("write", &self.path))
    }
}

impl Callback for MetricsWriter {
    /// Writes the line of a step or an evaluation; other events have none.
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        match event {
            Event::Step(record) => self.line(record)?,
            Event::Evaluated(record) => self.line(record)?,
            _ => {}
        }
        Ok(Control::Continue)
    }
}
