//! The rates of the device that measurements are held against.

use burn::tensor::{Device, FloatDType};
use clap::Args;
use gpt2_core::bench::{Floors, Peaks, matmul_flops, memory_bandwidth};
use gpt2_core::{Error, device};

use crate::args::above_zero;

/// Options that say what a device can do.
#[derive(Debug, Clone, Copy, Args)]
pub struct PeakArgs {
    /// Floating-point operations per second of the device, in 10^12 [default: that of its own product of matrices]
    #[arg(long = "peak-tflops", value_name = "X", value_parser = above_zero)]
    pub tflops: Option<f64>,
    /// Bytes per second that it moves, in 10^9 [default: those of a pass over memory]
    #[arg(long = "peak-gbs", value_name = "X", value_parser = above_zero)]
    pub gbs: Option<f64>,
}

impl PeakArgs {
    /// What is given, and the rest measured on the device.
    pub fn complete(self, device: &Device, is_bf16: bool) -> Result<Peaks, Error> {
        // A CPU computes with weights of bf16 in f32.
        let is_half = is_bf16 && !device::is_cpu(device);
        let dtype = if is_half { FloatDType::BF16 } else { FloatDType::F32 };
        let flops = self.tflops.map(|rate| Ok(rate * 1e12));
        let bandwidth = self.gbs.map(|rate| Ok(rate * 1e9));
        Ok(Peaks {
            flops: flops.unwrap_or_else(|| matmul_flops(device, dtype))?,
            bandwidth: bandwidth.unwrap_or_else(|| memory_bandwidth(device))?,
        })
    }

    /// The rates that a measurement was held against.
    pub fn of(floors: &Floors) -> Self {
        Self { tflops: Some(floors.peak_flops / 1e12), gbs: Some(floors.peak_bandwidth / 1e9) }
    }
}
