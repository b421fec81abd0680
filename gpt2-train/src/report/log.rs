//! Everything that is written about a run.

use std::fs::create_dir_all;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpt2_core::Gpt2;
use gpt2_core::folder::write_file;

use super::html::Report;
use super::lines::LineFile;
use super::metrics::MetricsWriter;
use super::samples::{Sample, SamplerError, Samples};
use super::tensorboard::TensorBoardWriter;
use crate::callback::{Callback, Control};
use crate::record::{EvaluationRecord, Event};
use crate::{Error, Result};

/// Longest time for which the page may be behind; evaluations and epochs write it at once.
const PAGE_EVERY: Duration = Duration::from_secs(60);

/// Writes a run down as it goes, in one folder:
///
/// | file | what is in it |
/// |---|---|
/// | `metrics.jsonl` | steps and evaluations ([`MetricsWriter`]) |
/// | `epochs.jsonl` | the rows of the card's table |
/// | `samples.jsonl` | texts of each evaluation, with [`with_samples`](Self::with_samples) |
/// | `runs/` | event files for TensorBoard, with [`with_tensorboard`](Self::with_tensorboard) |
/// | `report.html` | all of it to look at ([`Report`]), written anew at each evaluation and epoch, every minute, and by [`finish`](Self::finish) |
///
/// A run that goes on from a checkpoint, with a log of its own in the same folder, goes on with all
/// of these. The lowest learning rate of layer groups, which `metrics.jsonl` does not hold, is drawn
/// from there on.
///
/// # Example
/// ```
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_train::report::{Report, RunLog, Sample};
/// use gpt2_train::{Dataset, Recipe, Trainer, TrainingConfig, data};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("gpt2-run-log-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let config = Gpt2Config { vocab_size: 50, n_embd: 16, n_layer: 1, n_head: 2, ..Gpt2Config::gpt2() };
/// let model = Gpt2::init(&config, 42, &device::best()?)?;
/// let text: Vec<u32> = (0..640).map(|at| at % 50).collect();
/// let train = Dataset::new("training", data::blocks(&[text], None, 32), &config)?;
/// let options = TrainingConfig { num_train_epochs: 1.0, ..TrainingConfig::default() };
///
/// let report = Report::new("Counting", "It counts to 50.", &options, &Recipe::from(&options));
/// let mut log = RunLog::new(&folder, report).with_samples(|_model| {
///     // Whatever writes a text with a model: `gpt2-infer`, say.
///     Ok(vec![Sample { prompt: "1 2".to_string(), text: " 3 4".to_string() }])
/// });
/// Trainer::new(options)?.run(model, &train, Some(&train), &mut log)?;
/// log.finish()?;
/// assert!(std::fs::read_to_string(folder.join("report.html"))?.contains("Counting"));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RunLog<'a> {
    folder: PathBuf,
    metrics: MetricsWriter,
    epochs: LineFile,
    samples: Option<Samples<'a>>,
    tensorboard: Option<TensorBoardWriter>,
    report: Report,
    /// Whether the run has begun: what earlier ones left is only then no longer of use.
    has_started: bool,
    written: Instant,
}

impl<'a> RunLog<'a> {
    /// A log in a folder, which is made where it is missing; what earlier runs wrote there stays until
    /// this one starts.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, report: Report) -> Self {
        let folder = folder.into();
        Self {
            metrics: MetricsWriter::new(folder.join("metrics.jsonl")),
            epochs: LineFile::new(folder.join("epochs.jsonl")),
            samples: None,
            tensorboard: None,
            report,
            has_started: false,
            written: Instant::now(),
            folder,
        }
    }

    /// Keeps the texts that `sampler` writes after each evaluation; it is given the model off the
    /// training device. An error of the sampler ends the run.
    #[must_use]
    pub fn with_samples(
        mut self,
        sampler: impl FnMut(&Gpt2) -> Result<Vec<Sample>, SamplerError> + 'a,
    ) -> Self {
        self.samples = Some(Samples::new(self.samples_path(), Box::new(sampler)));
        self
    }

    /// Writes event files for TensorBoard too.
    #[must_use]
    pub fn with_tensorboard(mut self) -> Self {
        self.tensorboard = Some(TensorBoardWriter::new(self.folder.join("runs")));
        self
    }

    /// Writes the page for the last time. To be called after a run that has failed too, whose page
    /// then has its last steps. A run that was refused before it began leaves the page that is there.
    ///
    /// # Errors
    /// [`gpt2_core::Error::Io`] when it cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        if self.has_started { self.write_page() } else { Ok(()) }
    }

    fn samples_path(&self) -> PathBuf {
        self.folder.join("samples.jsonl")
    }

    fn write_page(&mut self) -> Result<()> {
        self.written = Instant::now();
        let page = self.report.html();
        write_file(self.folder.join("report.html"), page.as_bytes())?;
        Ok(())
    }

    /// Cuts the files back to a step and takes in what they say.
    fn start(&mut self, step: usize) -> Result<()> {
        self.epochs.start(step)?;
        if let Some(samples) = &mut self.samples {
            samples.lines().start(step)?;
        }
        if step > 0 {
            let samples = self.samples_path();
            self.report.read(self.metrics.path(), self.epochs.path(), &samples)?;
        }
        Ok(())
    }

    fn evaluated(&mut self, record: &EvaluationRecord, model: &Gpt2) -> Result<()> {
        if let Some(samples) = &mut self.samples {
            let records = samples.write(record, &model.valid())?;
            if let Some(tensorboard) = &mut self.tensorboard {
                tensorboard.samples(&records)?;
            }
            self.report.note_samples(records);
        }
        self.write_page()
    }
}

impl Callback for RunLog<'_> {
    /// Writes down what happened.
    fn on_event(&mut self, event: &Event, model: &Gpt2) -> Result<Control> {
        if let Event::Started { .. } = event {
            create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
            self.has_started = true;
        }
        self.metrics.note(event)?;
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.note(event)?;
        }
        self.report.note(event, model.config());
        match event {
            Event::Started { step, .. } => self.start(*step)?,
            Event::Evaluated(record) => self.evaluated(record, model)?,
            Event::Epoch(record) => {
                self.epochs.append(record.step, record)?;
                self.write_page()?;
            }
            Event::Step(_) if self.written.elapsed() >= PAGE_EVERY => self.write_page()?,
            _ => {}
        }
        Ok(Control::Continue)
    }
}
