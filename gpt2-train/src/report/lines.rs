//! Files of JSON lines that a run writes and, after a checkpoint, goes on with.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A file with one JSON object a line, each with the `step` after which it was written.
///
/// Every line reaches the operating system before the next event, in one call: a process that is
/// killed leaves a torn last line at most, and one that goes on cuts it off.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    /// Open from the start of the run on.
    file: Option<File>,
    /// A step that may be reported on once more, and where its lines begin.
    again: Option<(usize, u64)>,
}

/// What a line must have, whatever it is about.
#[derive(Deserialize)]
struct Head {
    step: usize,
    /// Only a training step has one; what else happened at a step came after it.
    learning_rate: Option<IgnoredAny>,
}

impl LineFile {
    /// A file that is opened, or made, when the run starts: one that is refused writes nothing.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, again: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the lines up to `step`, the last one of the checkpoint that the run goes on from.
    ///
    /// What came after that step at the same step, an evaluation, may be done again; its lines
    /// stay until it is.
    pub fn start(&mut self, step: usize) -> Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&self.path).map_err(Error::io("open", &self.path))?;
        let (mut end, mut again) = (0, None);
        if step > 0 {
            visit(&self.path, &file, |line: Head, range| {
                if line.step > step {
                    return false;
                }
                if line.step == step && line.learning_rate.is_none() && again.is_none() {
                    again = Some((step, range.start));
                }
                end = range.end;
                true
            })?;
        }
        self.again = again;
        self.file = Some(file);
        self.cut(end)
    }

    /// Adds a line about something that happened at `step`.
    pub fn append(&mut self, step: usize, record: &impl Serialize) -> Result<()> {
        if let Some((_, start)) = self.again.take_if(|(again, _)| *again == step) {
            self.cut(start)?;
        }
        let mut line = serde_json::to_vec(record)
            .map_err(std::io::Error::from)
            .map_err(Error::io("write", &self.path))?;
        line.push(b'\n');
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&line).map_err(Error::io("write", &self.path))
    }

    fn cut(&mut self, end: u64) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(end)
            .and_then(|()| file.seek(SeekFrom::Start(end)))
            .map_err(Error::io("write", &self.path))
            .map(drop)
    }
}

/// Reads the records of a file, one after the other; a torn last line is none.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<()> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    visit(path, &file, |record, _| {
        take(record);
        true
    })
}

/// Gives `take` each whole line and its bytes' range in the file until it says `false`.
fn visit<T: DeserializeOwned>(
    path: &Path,
    file: &File,
    mut take: impl FnMut(T, std::ops::Range<u64>) -> bool,
) -> Result<()> {
    let mut reader = BufReader::new(file);
    let (mut bytes, mut start) = (Vec::new(), 0);
    for number in 1.. {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        if bytes.last() != Some(&b'\n') {
            break;
        }
        let record = serde_json::from_slice(&bytes)
            .map_err(|error| Error::data(path, number, format!("no record of a run: {error}")))?;
        let end = start + bytes.len() as u64;
        if !take(record, start..end) {
            break;
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let mut lines = Vec::new();
        read_lines(path, |line| lines.push(line)).unwrap();
        lines
    }

    fn step(step: usize) -> Value {
        json!({"step": step, "learning_rate": 0.1})
    }

    fn evaluation(step: usize, loss: f64) -> Value {
        json!({"step": step, "eval_loss": loss})
    }

    /// Steps 1 to 4, an evaluation after the third and the beginning of a fifth step.
    fn interrupted() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lines.jsonl");
        let mut text = String::new();
        for line in [step(1), step(2), step(3), evaluation(3, 0.5), step(4)] {
            text.push_str(&format!("{line}\n"));
        }
        std::fs::write(&path, text + "{\"step\":5,\"learn").unwrap();
        (home, path)
    }

    #[test]
    fn a_run_from_the_start_starts_the_file_anew() {
        let (_home, path) = interrupted();
        let mut file = LineFile::new(path.clone());
        assert_eq!(lines(&path).len(), 5, "opening alone changed the file");
        file.start(0).unwrap();
        file.append(1, &step(1)).unwrap();
        assert_eq!(lines(&path), [step(1)]);
    }

    #[test]
    fn later_lines_and_a_torn_one_are_dropped_on_going_on() {
        let (_home, path) = interrupted();
        let mut file = LineFile::new(path.clone());
        file.start(4).unwrap();
        file.append(5, &step(5)).unwrap();
        assert_eq!(lines(&path), [step(1), step(2), step(3), evaluation(3, 0.5), step(4), step(5)]);
        let mut file = LineFile::new(path.clone());
        file.start(2).unwrap();
        file.append(3, &step(3)).unwrap();
        assert_eq!(lines(&path), [step(1), step(2), step(3)]);
    }

    #[test]
    fn an_evaluation_that_is_done_again_has_one_line() {
        let (_home, path) = interrupted();
        let mut file = LineFile::new(path.clone());
        file.start(3).unwrap();
        assert_eq!(lines(&path).len(), 4, "it may have been done before the checkpoint");
        file.append(3, &evaluation(3, 0.25)).unwrap();
        file.append(3, &evaluation(3, 0.125)).unwrap();
        assert_eq!(
            lines(&path)[2..],
            [step(3), evaluation(3, 0.25), evaluation(3, 0.125)],
            "only lines of the earlier process are replaced"
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let (_home, path) = interrupted();
        std::fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":3}\n").unwrap();
        let error = LineFile::new(path).start(3).unwrap_err().to_string();
        assert!(error.contains("lines.jsonl, line 2"), "{error}");
    }
}
