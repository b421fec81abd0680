//! How much arithmetic training is, and how much of it the device could do.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use gpt2_core::{Error as CoreError, Gpt2Config};

use crate::Result;

/// Floating-point operations of training on one token, forward and backward: `6 N + 12 L H Q T`.
///
/// `N` are the parameters that a token is multiplied with: all but position embeddings and, where it
/// is not the head too, token embedding. `L` layers have `H` heads of width `Q`, and each attends to
/// `T` tokens, `sequence_length`. What is computed once more to save memory does not count, and what
/// frozen layers save is not taken off.
///
/// Source: Chowdhery et al. 2022, "PaLM", appendix B; the count of `N` is that of nanoGPT's
/// `estimate_mfu`.
///
/// # Example
/// ```
/// use gpt2_core::Gpt2Config;
/// use gpt2_train::report::flops_per_token;
///
/// let flops = flops_per_token(&Gpt2Config::gpt2(), 1024.0);
/// assert_eq!(flops, 6.0 * 123_653_376.0 + 12.0 * 12.0 * 768.0 * 1024.0);
/// ```
#[must_use]
pub fn flops_per_token(config: &Gpt2Config, sequence_length: f64) -> f64 {
    let positions = config.n_positions * config.n_embd;
    let looked_up = match config.tie_word_embeddings {
        true => positions,
        false => positions + config.vocab_size * config.n_embd,
    };
    let multiplied = config.parameter_count().saturating_sub(looked_up);
    6.0 * multiplied as f64 + 12.0 * (config.n_layer * config.n_embd) as f64 * sequence_length
}

/// Widths of the square matrices that are tried; the first one gauges the device.
const WIDTHS: [usize; 4] = [512, 1024, 2048, 4096];

/// Longest product to measure.
const LONGEST: Duration = Duration::from_millis(50);

/// Products of a measurement, the best of which counts.
const REPEATS: usize = 4;

/// Floating-point operations per second of the device's own product of `f32` matrices: the best
/// that a model can hope for on it, and the yardstick of model FLOPs utilization (MFU).
///
/// Measured on square matrices, up to 4096 wide on devices that need less than 50 ms for them;
/// takes about a quarter of a second, more where kernels have to be compiled first.
///
/// # Errors
/// [`gpt2_core::Error::Compute`] when the device fails.
pub fn matmul_flops(device: &Device) -> Result<f64> {
    let device = device.clone().inner();
    let gauged = measure(&device, WIDTHS[0], 2)?;
    let seconds = |width: &usize| flops_of(*width) / gauged;
    let fits = |width: &&usize| seconds(width) <= LONGEST.as_secs_f64();
    match WIDTHS[1..].iter().rev().find(fits) {
        Some(&width) => Ok(gauged.max(measure(&device, width, REPEATS)?)),
        None => Ok(gauged),
    }
}

/// The best of a few products, after one that does not count.
fn measure(device: &Device, width: usize, repeats: usize) -> Result<f64> {
    let a = Tensor::<2>::full([width, width], 0.5, device);
    let b = a.clone();
    let mut best = f64::INFINITY;
    for repeat in 0..=repeats {
        let start = Instant::now();
        let product = a.clone().matmul(b.clone());
        device.sync().map_err(CoreError::compute)?;
        if repeat > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
        drop(product);
    }
    Ok(flops_of(width) / best)
}

fn flops_of(width: usize) -> f64 {
    2.0 * (width as f64).powi(3)
}

#[cfg(test)]
mod tests {
    use gpt2_core::device;

    use super::*;

    #[test]
    fn an_untied_head_costs_no_more_than_a_tied_one() {
        let tied = Gpt2Config::gpt2();
        let untied = Gpt2Config { tie_word_embeddings: false, ..tied.clone() };
        assert!(untied.parameter_count() > tied.parameter_count());
        assert_eq!(flops_per_token(&untied, 512.0), flops_per_token(&tied, 512.0));
    }

    #[test]
    fn a_longer_sequence_costs_its_attention() {
        let config = Gpt2Config::gpt2();
        let more = flops_per_token(&config, 1024.0) - flops_per_token(&config, 1023.0);
        assert_eq!(more, 12.0 * 12.0 * 768.0);
    }

    #[test]
    fn a_device_multiplies_at_a_believable_rate_in_little_time() {
        let device = device::test_device();
        let start = Instant::now();
        let flops = matmul_flops(&device.autodiff()).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert!((1e8..1e16).contains(&flops), "{flops:e}");
    }
}
