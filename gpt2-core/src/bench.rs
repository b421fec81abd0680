//! Measuring speed: passes on random ids, and the median of their times.
//!
//! Training is measured by `gpt2_train::bench`, generation by `gpt2_infer::bench`, each with what
//! users of those crates call. `gpt2 bench` runs them.

use std::fmt;
use std::time::Instant;

use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Gpt2, Gpt2Batch, Gpt2Config, Result};

/// A batch of equally long sequences; written as `4x256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub seq: usize,
}

impl Shape {
    /// Tokens of the batch.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.batch * self.seq
    }

    /// Random ids of a vocabulary, the same ones at every call.
    #[must_use]
    pub fn ids(self, config: &Gpt2Config) -> Vec<Vec<u32>> {
        let mut random = ChaCha8Rng::seed_from_u64(self.tokens() as u64);
        // A configuration without a vocabulary is refused by whatever these ids are given to.
        let mut id = || random.random_range(0..config.vocab_size.max(1) as u32);
        (0..self.batch).map(|_| (0..self.seq).map(|_| id()).collect()).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.batch, self.seq)
    }
}

/// What was measured, and how fast it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// `train 1x256`, `prefill 4x256`, `decode batch 8`, ..
    pub what: String,
    /// A median, in units of [`unit`](Self::unit).
    pub value: f64,
    /// `tok/s` or `s`.
    pub unit: String,
    /// Element type of the weights that were computed with.
    pub dtype: String,
    /// The most memory that this process has had resident so far, where the system says it (Linux). That of
    /// one measurement alone takes a process of its own.
    pub peak_memory_bytes: Option<u64>,
}

impl Measurement {
    /// Tokens per second, from the seconds that each of several passes over so many tokens took.
    #[must_use]
    pub fn rate(what: impl fmt::Display, tokens: usize, seconds: &[f64]) -> Self {
        Self::new(what, tokens as f64 / median(seconds), "tok/s")
    }

    /// Seconds of a pass.
    #[must_use]
    pub fn time(what: impl fmt::Display, seconds: &[f64]) -> Self {
        Self::new(what, median(seconds), "s")
    }

    /// The measurement of a model, whose element type is noted.
    #[must_use]
    pub fn of(self, model: &Gpt2) -> Self {
        Self { dtype: model.weight_dtype().to_string(), ..self }
    }

    fn new(what: impl fmt::Display, value: f64, unit: &str) -> Self {
        Self {
            what: what.to_string(),
            value,
            unit: unit.to_string(),
            dtype: "f32".to_string(),
            peak_memory_bytes: peak_memory(),
        }
    }
}

/// Seconds of each of `repeats` passes on a device, after one that warms up and is not counted.
///
/// The time of a pass ends when the device has done its work; what it gives is kept until then.
///
/// # Errors
/// What `pass` says; [`Error::Compute`] when the device fails.
pub fn seconds<T, E: From<Error>>(
    device: &Device,
    repeats: usize,
    mut pass: impl FnMut() -> Result<T, E>,
) -> Result<Vec<f64>, E> {
    let mut seconds = Vec::with_capacity(repeats);
    for repeat in 0..=repeats {
        let start = Instant::now();
        let result = pass()?;
        device.sync().map_err(Error::compute)?;
        if repeat > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
        drop(result);
    }
    Ok(seconds)
}

/// The middle one of some numbers, or the mean of the two in the middle.
#[must_use]
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// Reading a batch: tokens per second of the pass that gives the logits of all positions, as
/// `model(input_ids)` of `transformers` does.
///
/// # Errors
/// [`Error::Argument`] for a shape that does not fit the model; [`Error::Compute`] when the device fails.
pub fn prefill(model: &Gpt2, shape: Shape, repeats: usize) -> Result<Measurement> {
    let device = model.device();
    let batch = Gpt2Batch::new(&shape.ids(model.config()), model.config(), &device)?;
    let seconds = seconds(&device, repeats, || Ok::<_, Error>(model.forward(&batch)))?;
    Ok(Measurement::rate(format_args!("prefill {shape}"), shape.tokens(), &seconds).of(model))
}

/// Largest resident set of this process so far, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn the_median_is_the_middle_one_in_any_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_first_pass_is_run_and_not_counted() {
        let mut passes = 0;
        let device = device::test_device();
        let seconds = seconds(&device, 3, || {
            passes += 1;
            Ok::<_, Error>(())
        });
        assert_eq!((seconds.unwrap().len(), passes), (3, 4));
    }

    #[test]
    fn ids_are_of_the_vocabulary_and_not_all_the_same() {
        let config = Gpt2Config { vocab_size: 7, ..Gpt2Config::gpt2() };
        let shape = Shape { batch: 2, seq: 50 };
        let rows = shape.ids(&config);
        assert_eq!(rows, shape.ids(&config));
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50]);
        assert!((0..7).all(|id| rows.concat().contains(&id)) && rows[0] != rows[1]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_knows_of_memory_that_was_touched() {
        let before = peak_memory().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(peak_memory().unwrap() >= before && peak_memory().unwrap() >= touched.len() as u64);
    }
}
