//! One measurement, in this process or in one of its own.

use std::fmt;
use std::process::Command;

use clap::ValueEnum;
use gpt2_core::bench::{Measurement, Shape, prefill};
use gpt2_core::{Error, Gpt2Config};
use gpt2_infer::bench::{NEW_TOKENS, PROMPT_TOKENS, decode, first_token};
use gpt2_train::bench::train;
use gpt2_train::{ComputeDType, TrainingConfig};

use super::BenchArgs;
use super::peaks::PeakArgs;
use super::subject::Subject;
use crate::args::Global;
use crate::commands::Failure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Optimizer steps: forward, backward, clipping, AdamW
    Train,
    /// Logits of all positions of a batch
    Prefill,
    /// 64 tokens behind prompts of 16, greedily
    Decode,
    /// Time from a prompt to its first token
    FirstToken,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub kind: Kind,
    /// Of the batch, or of the prompts.
    pub shape: Shape,
}

impl Kind {
    /// The name that `--only` takes.
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::FirstToken => "first-token",
        }
    }

    /// Length of a sequence or prompt, where nothing is said of it.
    pub fn usual_seq(self) -> usize {
        match self {
            Self::Train | Self::Prefill => 256,
            Self::Decode => PROMPT_TOKENS,
            Self::FirstToken => 512,
        }
    }

    /// What is measured where nothing is said.
    pub fn usual_jobs(self) -> Vec<Job> {
        let seq = self.usual_seq();
        let shapes = match self {
            Self::Train | Self::Prefill => vec![(1, seq), (4, seq), (1, 1024)],
            Self::Decode => vec![(1, seq), (8, seq)],
            Self::FirstToken => vec![(1, seq)],
        };
        let job = |(batch, seq)| Job { kind: self, shape: Shape { batch, seq } };
        shapes.into_iter().map(job).collect()
    }

    /// Tokens that are generated behind each sequence and read again.
    fn read_after(self) -> usize {
        match self {
            Self::Decode => NEW_TOKENS - 1,
            _ => 0,
        }
    }
}

impl Job {
    /// Refuses a shape that the model's context, or the indices of a tensor, have no room for.
    pub fn check(&self, config: &Gpt2Config) -> Result<(), Error> {
        let Self { kind, shape: Shape { batch, seq } } = *self;
        let (most, after) = (config.n_positions, kind.read_after());
        if seq > most.saturating_sub(after) {
            let behind = if after > 0 { format!(" with {after} behind") } else { String::new() };
            let found = format!("{seq}{behind} in `{self}`");
            return Err(Error::argument("seq", found, format!("at most n_positions = {most}")));
        }
        let rows = i32::MAX as usize / (seq + after).max(1);
        if batch > rows {
            return Err(Error::argument("batch", batch, format!("at most {rows} of this length")));
        }
        Ok(())
    }

    /// Measures here, and then what the device can do, as far as nobody says it.
    pub fn run(
        &self,
        subject: &Subject,
        args: &BenchArgs,
        global: &Global,
    ) -> Result<Measurement, Failure> {
        let (shape, repeats) = (self.shape, args.repeats);
        let load = if self.kind == Kind::Train { args.load.trainable() } else { args.load };
        let model = subject.model(load, global)?;
        let device = model.device();
        let measured = match self.kind {
            Kind::Train => {
                let dtype =
                    if args.load.is_bf16() { ComputeDType::Bf16 } else { ComputeDType::F32 };
                let dropout = args.dropout;
                let options = TrainingConfig { dropout, dtype, ..TrainingConfig::default() };
                train(model, shape, repeats, &options)?
            }
            Kind::Prefill => prefill(&model, shape, repeats)?,
            Kind::Decode => decode(&model, shape, repeats)?,
            Kind::FirstToken => first_token(&model, shape, repeats)?,
        };
        let peaks = args.peaks.complete(&device, args.load.is_bf16())?;
        Ok(measured.beside(peaks))
    }

    /// Measures in a process of this program that does nothing else and is told these rates of the device.
    pub fn run_apart(
        &self,
        subject: &Subject,
        args: &BenchArgs,
        peaks: PeakArgs,
        global: &Global,
    ) -> Result<Measurement, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench").args(subject.args()).args(["--only", self.kind.name()]);
        let numbers = [
            ("--batch", Some(self.shape.batch.to_string())),
            ("--seq", Some(self.shape.seq.to_string())),
            ("--repeats", Some(args.repeats.to_string())),
            ("--dropout", args.dropout.filter(|_| self.kind == Kind::Train).map(|p| p.to_string())),
            (
                "--quantize",
                args.load.quantize().map(|quantization| quantization.name().to_string()),
            ),
            ("--dtype", args.load.is_bf16().then(|| "bf16".to_string())),
            ("--peak-tflops", peaks.tflops.map(|rate| rate.to_string())),
            ("--peak-gbs", peaks.gbs.map(|rate| rate.to_string())),
            ("--device", global.device.clone()),
            ("--threads", global.threads.map(|threads| threads.to_string())),
            ("--float32-matmul-precision", Some(global.float32_matmul_precision.to_string())),
        ];
        for (option, value) in numbers {
            command.args(value.map(|value| format!("{option}={value}")));
        }
        let output = command.arg("--json").output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let message = message.trim_end().trim_start_matches("error: ");
            return Err(match message {
                "" => format!("`{self}` was broken off: {}", output.status),
                message => message.to_string(),
            }
            .into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.shape)
    }
}
