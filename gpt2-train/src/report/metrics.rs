//! `metrics.jsonl`: one JSON object for each step and each evaluation.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use gpt2_core::Gpt2;
use gpt2_core::folder::write_file;
use serde::{Deserialize, Serialize};

use crate::callback::{Callback, Control};
use crate::record::Event;
use crate::{Error, Result};

/// Writes the records of a run as they come. A run that goes on keeps the lines up to its step.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: Option<File>,
}

impl MetricsWriter {
    /// A writer that makes the file when the run starts.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None }
    }

    /// Starts the file, with the lines of a run that goes on after so many steps.
    fn start(&mut self, step: usize, evaluated: Option<usize>) -> Result<()> {
        let kept = if step > 0 { lines_until(&self.path, step, evaluated)? } else { Vec::new() };
        write_file(&self.path, &kept)?;
        let file = File::options().append(true).open(&self.path);
        self.file = Some(file.map_err(Error::io("open", &self.path))?);
        Ok(())
    }

    fn line(&mut self, record: &impl Serialize) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // In one piece and unbuffered: a process that is killed leaves whole lines.
        let mut line = serde_json::to_vec(record)
            .map_err(|error| Error::io("write", &self.path)(error.into()))?;
        line.push(b'\n');
        file.write_all(&line).map_err(Error::io("write", &self.path))
    }
}

/// The lines of a log up to a step and an evaluation, without one that was torn.
fn lines_until(path: &Path, step: usize, evaluated: Option<usize>) -> Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Line {
        step: usize,
        eval_loss: Option<f64>,
    }
    let is_kept = |line: &Line| match line.eval_loss {
        Some(_) => Some(line.step) <= evaluated,
        None => line.step <= step,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read", path))?,
    };
    let mut kept = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(Error::io("read", path))?;
        if serde_json::from_slice::<Line>(&line).is_ok_and(|line| is_kept(&line)) {
            kept.extend(line);
            kept.push(b'\n');
        }
    }
    Ok(kept)
}

impl Callback for MetricsWriter {
    /// Writes the line of a step or an evaluation; other events have none.
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        match event {
            Event::Started { step, evaluated, .. } => self.start(*step, *evaluated)?,
            Event::Step(record) => self.line(record)?,
            Event::Evaluated(record) => self.line(record)?,
            _ => {}
        }
        Ok(Control::Continue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_keeps_what_its_checkpoint_has() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("metrics.jsonl");
        let lines = [
            r#"{"step":1,"loss":3.0}"#,
            r#"{"step":1,"eval_loss":2.0}"#,
            r#"{"step":2,"loss":2.5}"#,
            r#"{"step":2,"eval_loss":1.5}"#,
            r#"{"step":3,"loss":2.0}"#,
            r#"{"step":4,"lo"#,
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let kept = |evaluated| {
            let kept = lines_until(&path, 2, evaluated).unwrap();
            String::from_utf8(kept).unwrap().lines().map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(kept(Some(2)), lines[..4]);
        // The evaluation after step 2 was broken off and comes again.
        assert_eq!(kept(Some(1)), lines[..3]);
        assert!(lines_until(&place.path().join("none"), 2, None).unwrap().is_empty());
    }
}
