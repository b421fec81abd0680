//! Measuring speed: passes on random ids, the median of their times, and what the device could do at best.
//!
//! Training is measured by `gpt2_train::bench`, generation by `gpt2_infer::bench`, each with what
//! users of those crates call. `gpt2 bench` runs them.

mod memory;
mod peaks;
mod work;

use std::fmt;
use std::time::Instant;

use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use self::peaks::{Peaks, matmul_flops, memory_bandwidth};
pub use self::work::{Work, flops_per_token};
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
    /// Memory that the backend has taken from the device and keeps for reuse, which is the most that it needed; `None`
    /// for a backend that computes in the host's memory.
    pub device_memory_bytes: Option<u64>,
    /// Seconds of a pass: the same median.
    pub seconds: f64,
    /// What a pass cannot do without.
    #[serde(flatten)]
    pub work: Work,
    /// The least time that it takes, where the rates of the device are known.
    #[serde(flatten)]
    pub floors: Option<Floors>,
}

/// The least time of a pass by the rates of its device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Floors {
    /// Floating-point operations per second that the device can do.
    pub peak_flops: f64,
    /// Bytes per second that it can move.
    pub peak_bandwidth: f64,
    /// Seconds of the operations at that rate. As a share of the measured time: model FLOPs utilization.
    pub compute_floor_seconds: f64,
    /// Seconds of the bytes at that rate.
    pub memory_floor_seconds: f64,
    /// The longer one of both as a share of the measured time.
    pub of_floor: f64,
}

impl Measurement {
    /// Tokens per second, from the seconds that each of several passes over so many tokens took on a device.
    #[must_use]
    pub fn rate(
        what: impl fmt::Display,
        tokens: usize,
        seconds: &[f64],
        work: Work,
        device: &Device,
    ) -> Self {
        let pass = Self::time(what, seconds, work, device);
        Self { value: tokens as f64 / pass.seconds, unit: "tok/s".to_string(), ..pass }
    }

    /// Seconds of a pass.
    #[must_use]
    pub fn time(what: impl fmt::Display, seconds: &[f64], work: Work, device: &Device) -> Self {
        let seconds = median(seconds);
        Self {
            what: what.to_string(),
            value: seconds,
            unit: "s".to_string(),
            dtype: "f32".to_string(),
            peak_memory_bytes: memory::of_process(),
            device_memory_bytes: memory::of_device(device),
            seconds,
            work,
            floors: None,
        }
    }

    /// The measurement of products of another element type than `f32`.
    #[must_use]
    pub fn in_type(self, dtype: &str) -> Self {
        Self { dtype: dtype.to_string(), ..self }
    }

    /// The same beside what a device with these rates could do.
    #[must_use]
    pub fn beside(self, peaks: Peaks) -> Self {
        let compute_floor_seconds = self.work.flops / peaks.flops;
        let memory_floor_seconds = self.work.bytes / peaks.bandwidth;
        let floors = Floors {
            peak_flops: peaks.flops,
            peak_bandwidth: peaks.bandwidth,
            compute_floor_seconds,
            memory_floor_seconds,
            of_floor: compute_floor_seconds.max(memory_floor_seconds) / self.seconds,
        };
        Self { floors: Some(floors), ..self }
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
    let (what, work) = (format!("prefill {shape}"), Work::of_prefill(model, shape));
    let measured = Measurement::rate(what, shape.tokens(), &seconds, work, &device);
    Ok(measured.in_type(model.weight_dtype()))
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

    #[test]
    fn the_longer_floor_decides() {
        let work = Work { flops: 8.0, bytes: 2.0 };
        let measured =
            Measurement::rate("a pass", 10, &[4.0, 5.0, 3.0], work, &device::test_device());
        assert_eq!((measured.value, measured.floors), (2.5, None));
        let floors = measured.beside(Peaks { flops: 4.0, bandwidth: 2.0 }).floors.unwrap();
        assert_eq!((floors.compute_floor_seconds, floors.memory_floor_seconds), (2.0, 1.0));
        assert_eq!(floors.of_floor, 0.5);
    }

    #[test]
    fn a_measurement_is_one_flat_object() {
        let work = Work { flops: 1.0, bytes: 2.0 };
        let device = device::test_device();
        let bare = Measurement::time("a pass", &[1.0], work, &device);
        let json = serde_json::to_value(&bare).unwrap();
        assert_eq!((&json["flops"], &json["bytes"]), (&1.0.into(), &2.0.into()));
        assert!(json.get("of_floor").is_none());
        let full = bare.clone().beside(Peaks { flops: 1.0, bandwidth: 4.0 });
        assert_eq!(serde_json::to_value(&full).unwrap()["of_floor"], 1.0);
        for measurement in [bare, full] {
            let text = serde_json::to_string(&measurement).unwrap();
            assert_eq!(serde_json::from_str::<Measurement>(&text).unwrap(), measurement);
        }
    }
}
