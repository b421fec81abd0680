//! Event files for TensorBoard.

mod proto;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gpt2_core::Gpt2;
use prost::Message;

use self::proto::{
    Content, DataType, Dim, PluginData, SessionLog, SessionStatus, Summary, SummaryMetadata,
    TensorProto, TensorShape, Value, What,
};
use super::samples::SampleRecord;
use crate::callback::{Callback, Control};
use crate::record::Event;
use crate::{Error, Result};

/// What every event file's name begins with; TensorBoard looks for it.
const PREFIX: &str = "events.out.tfevents.";

/// Writes event files that `tensorboard --logdir FOLDER` shows.
///
/// Tags are those of Hugging Face's `Trainer`: `train/loss`, `train/grad_norm`,
/// `train/learning_rate`, `train/epoch`, `eval/loss`, `eval/accuracy` and `eval/runtime`; further
/// `train/tokens_per_second`, `eval/perplexity`, and texts as `samples`. Every process that works
/// on a run writes a file of its own, which tells TensorBoard to forget what earlier ones said
/// about the steps that are made again.
#[derive(Debug)]
pub struct TensorBoardWriter {
    folder: PathBuf,
    log: Option<EventFile>,
}

impl TensorBoardWriter {
    /// A writer into `folder`, which is made where it is missing when the run starts.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), log: None }
    }

    /// Writes what there is to write of an event.
    pub(super) fn note(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { step, .. } => self.start(*step),
            Event::Step(record) => self.scalars(
                record.step,
                &[
                    ("train/loss", record.loss),
                    ("train/grad_norm", record.grad_norm),
                    ("train/learning_rate", record.learning_rate),
                    ("train/epoch", record.epoch),
                    ("train/tokens_per_second", record.tokens_per_second),
                ],
            ),
            Event::Evaluated(record) => self.scalars(
                record.step,
                &[
                    ("eval/loss", record.eval_loss),
                    ("eval/accuracy", record.eval_accuracy),
                    ("eval/perplexity", record.eval_perplexity),
                    ("eval/runtime", record.seconds),
                ],
            ),
            _ => Ok(()),
        }
    }

    /// Writes the texts of an evaluation.
    pub(super) fn samples(&mut self, records: &[SampleRecord]) -> Result<()> {
        let Some(step) = records.first().map(|record| record.step) else { return Ok(()) };
        let texts = records
            .iter()
            .map(|record| format!("{}{}", record.sample.prompt, record.sample.text).into_bytes());
        let size = records.len() as i64;
        let value = Value {
            tag: "samples/text_summary".to_string(),
            metadata: Some(SummaryMetadata {
                plugin_data: Some(PluginData { plugin_name: "text".to_string() }),
            }),
            content: Some(Content::Tensor(TensorProto {
                dtype: DataType::String.into(),
                tensor_shape: Some(TensorShape { dim: vec![Dim { size }] }),
                string_val: texts.collect(),
            })),
        };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn scalars(&mut self, step: usize, scalars: &[(&str, f64)]) -> Result<()> {
        let value = |&(tag, value): &(&str, f64)| Value {
            tag: tag.to_string(),
            metadata: None,
            content: Some(Content::SimpleValue(value as f32)),
        };
        let value = scalars.iter().map(value).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    /// Begins a file for a run that has made `step` steps.
    fn start(&mut self, step: usize) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        let mut log = EventFile::create(&self.folder)?;
        log.write(0, What::FileVersion("brain.Event:2".to_string()))?;
        // Events of this step and later ones, in earlier files, are void.
        let first = if step == 0 { 0 } else { step + 1 };
        let status = SessionStatus::Start.into();
        log.write(first, What::SessionLog(SessionLog { status }))?;
        self.log = Some(log);
        Ok(())
    }

    fn write(&mut self, step: usize, what: What) -> Result<()> {
        if self.log.is_none() {
            self.start(step.saturating_sub(1))?;
        }
        self.log.as_mut().map_or(Ok(()), |log| log.write(step, what))
    }
}

impl Callback for TensorBoardWriter {
    /// Writes the numbers of a step or an evaluation.
    fn on_event(&mut self, event: &Event, _model: &Gpt2) -> Result<Control> {
        self.note(event)?;
        Ok(Control::Continue)
    }
}

/// A file of framed messages.
#[derive(Debug)]
struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file, whose name comes after those of all earlier ones: TensorBoard reads them in
    /// that order.
    fn create(folder: &Path) -> Result<Self> {
        let host = hostname::get().unwrap_or_default().to_string_lossy().into_owned();
        let host = if host.is_empty() { "localhost".to_string() } else { host };
        let mut time = (now() as u64).max(latest(folder)? + 1);
        loop {
            let path = folder.join(format!("{PREFIX}{time:010}.{host}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => time += 1,
                Err(error) => return Err(Error::io("create", path)(error)),
            }
        }
    }

    /// Writes a message in TFRecord's frame: length, check sum of the length, message, check sum
    /// of the message.
    fn write(&mut self, step: usize, what: What) -> Result<()> {
        let event = proto::Event { wall_time: now(), step: step as i64, what: Some(what) };
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(message.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked_crc(&length).to_le_bytes());
        record.extend_from_slice(&message);
        record.extend_from_slice(&masked_crc(&message).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("write", &self.path))
    }
}

/// TFRecord's check sum: CRC-32C, rotated and shifted, so that a sum over sums is no trivial one.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The latest time that the name of an event file in a folder has; 0 without any.
fn latest(folder: &Path) -> Result<u64> {
    let mut latest = 0;
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        let name = name.to_string_lossy();
        let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
        let time: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        // More digits are no time, and would leave no room for a later one.
        latest = latest.max(time.filter(|time| *time < 10_000_000_000).unwrap_or(0));
    }
    Ok(latest)
}

/// Seconds since 1970.
fn now() -> f64 {
    // A clock that stands before 1970 makes ugly dates and no lost run.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
