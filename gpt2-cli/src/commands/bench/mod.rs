//! `gpt2 bench`.

mod job;
mod peaks;
mod subject;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use gpt2_core::Gpt2Config;
use gpt2_core::bench::{Measurement, Shape};
use indicatif::{ProgressBar, ProgressStyle};

use self::job::{Job, Kind};
use self::peaks::PeakArgs;
use self::subject::Subject;
use super::load::LoadArgs;
use super::{Failure, Outcome};
use crate::args::{Global, finite, positive};
use crate::output;

/// Options of `gpt2 bench`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("weights").args(["model", "config"]).required(true))]
pub struct BenchArgs {
    /// Model folder or hub id; it needs no tokenizer
    model: Option<PathBuf>,
    /// `config.json` of a model that gets random weights, instead of MODEL
    #[arg(long, value_name = "config.json")]
    config: Option<PathBuf>,
    /// Measure this alone
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Kind>,
    /// Sequences of a batch [default: 1, 4 and 1 of 256, 256 and 1024 tokens, 1 and 8 of decode, 1 of 512 tokens of
    /// first-token, as far as the model's context has room; 1 beside `--seq`]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Tokens of a sequence; with `--only decode` of the prompt, which has 16 otherwise [default: see `--batch`;
    /// beside it 256, 512 of first-token]
    #[arg(long, value_name = "N", value_parser = positive)]
    seq: Option<usize>,
    /// Passes after the one that warms up; their median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    repeats: usize,
    /// Dropout of training, instead of the model's own
    #[arg(long, value_name = "P", value_parser = finite)]
    dropout: Option<f64>,
    #[command(flatten)]
    peaks: PeakArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// Measures in this process where there is one thing to measure, else each in a process of its own,
/// so that a peak of memory is that of one measurement.
pub fn run(args: &BenchArgs, global: &Global) -> Outcome {
    let subject = Subject::open(args.model.as_deref(), args.config.as_deref(), global)?;
    let jobs = args.jobs(subject.config())?;
    let bar = bar(jobs.len(), global)?;
    let mut found = Vec::with_capacity(jobs.len());
    let mut peaks = args.peaks;
    for job in &jobs {
        bar.set_message(job.to_string());
        let measurement = match jobs.len() {
            1 => job.run(&subject, args, global)?,
            _ => job.run_apart(&subject, args, peaks, global)?,
        };
        // The first one measures them for all.
        peaks = measurement.floors.as_ref().map_or(peaks, PeakArgs::of);
        if global.json {
            output::json(&measurement)?;
        }
        found.push(measurement);
        bar.inc(1);
    }
    bar.finish_and_clear();
    match global.json {
        true => Ok(()),
        false => {
            output::line(table(&found))?;
            Ok(rates(&found).map_or(Ok(()), output::line)?)
        }
    }
}

impl BenchArgs {
    /// What is to be measured.
    ///
    /// # Errors
    /// When the model's context has no room for what was asked for, or for anything.
    fn jobs(&self, config: &Gpt2Config) -> Result<Vec<Job>, Failure> {
        if self.dropout.is_some() && self.only.is_some_and(|only| only != Kind::Train) {
            return Err("`dropout` is for training alone".into());
        }
        let is_quantized = self.load.quantize().is_some() || config.quantization_config.is_some();
        if is_quantized && self.only == Some(Kind::Train) {
            return Err("training needs weights of f32".into());
        }
        let kinds = self.only.as_ref().map_or(Kind::value_variants(), std::slice::from_ref);
        let kinds = kinds.iter().filter(|&&kind| kind != Kind::Train || !is_quantized);
        let jobs = kinds.flat_map(|&kind| match (self.batch, self.seq) {
            (None, None) => kind.usual_jobs(),
            (batch, seq) => {
                // A text of the length that the others read leaves no room for new tokens.
                let seq = seq.filter(|_| kind != Kind::Decode || self.only.is_some());
                let (batch, seq) = (batch.unwrap_or(1), seq.unwrap_or(kind.usual_seq()));
                vec![Job { kind, shape: Shape { batch, seq } }]
            }
        });
        let checked = jobs.map(|job| job.check(config).map(|()| job));
        if self.batch.is_some() || self.seq.is_some() {
            return Ok(checked.collect::<Result<_, _>>()?);
        }
        // Of what is usual, as much as there is room for.
        let (fitting, others): (Vec<_>, Vec<_>) = checked.partition(Result::is_ok);
        match others.into_iter().next() {
            Some(Err(error)) if fitting.is_empty() => Err(error.into()),
            _ => Ok(fitting.into_iter().flatten().collect()),
        }
    }
}

/// A bar on standard error, where that is a terminal.
fn bar(jobs: usize, global: &Global) -> Result<ProgressBar, Failure> {
    if !global.is_chatty() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}")?;
    Ok(ProgressBar::new(jobs as u64).with_style(style))
}

/// What people are shown.
fn table(found: &[Measurement]) -> Table {
    let mut table = Table::new();
    let header = ["", "speed", "", "weights", "peak memory", "on device"];
    let floors = ["a pass", "FLOPs / peak", "bytes / bandwidth", "of floor"];
    table.load_style(UTF8_FULL_CONDENSED).set_header([&header[..], &floors].concat());
    for measured in found {
        let Measurement { what, value, unit, dtype, .. } = measured;
        let value = match unit.as_str() {
            "s" => format!("{value:.4}"),
            _ => format!("{value:.1}"),
        };
        let [memory, on_device] =
            [measured.peak_memory_bytes, measured.device_memory_bytes].map(|bytes| {
                bytes.map_or("-".to_string(), |bytes| format!("{} MB", bytes / 1_000_000))
            });
        let mut row = vec![what.clone(), value, unit.clone(), dtype.clone(), memory, on_device];
        row.push(milliseconds(measured.seconds));
        row.extend(measured.floors.iter().flat_map(|floors| {
            let floor = [floors.compute_floor_seconds, floors.memory_floor_seconds];
            floor.map(milliseconds).into_iter().chain([format!("{:.2}", floors.of_floor)])
        }));
        table.add_row(row);
    }
    for column in [1, 4, 5, 6, 7, 8, 9] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1000.0)
}

/// The rates that the floors come from.
fn rates(found: &[Measurement]) -> Option<String> {
    let floors = found.iter().find_map(|measured| measured.floors)?;
    let (tflops, gbs) = (floors.peak_flops / 1e12, floors.peak_bandwidth / 1e9);
    Some(format!("floors: {tflops:.3} TFLOP/s, {gbs:.1} GB/s"))
}
