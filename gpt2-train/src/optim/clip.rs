//! Gradient clipping by norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use gpt2_core::{Error as CoreError, Gpt2, ops};
use serde::{Deserialize, Serialize};

use crate::Result;

/// What the norm that is limited is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ClipMode {
    /// All gradients together, as `torch.nn.utils.clip_grad_norm_`.
    #[default]
    Global,
    /// Each tensor alone, as Keras' `clipnorm`.
    PerTensor,
}

/// Added to the norm by `clip_grad_norm_` before it divides.
const TORCH_EPSILON: f64 = 1e-6;

/// L2 norm of the gradient of every parameter, in the order of the model; 0 where there is none.
///
/// # Errors
/// [`gpt2_core::Error::Compute`] when the device fails.
pub fn gradient_norms(model: &Gpt2, gradients: &GradientsParams) -> Result<Vec<f64>> {
    let mut collector = Squares { gradients, sums: Vec::new() };
    model.visit(&mut collector);
    let mut norms = vec![0.0; collector.sums.len()];
    let (places, sums): (Vec<_>, Vec<_>) =
        collector.sums.into_iter().enumerate().filter_map(|(at, sum)| Some((at, sum?))).unzip();
    if sums.is_empty() {
        return Ok(norms);
    }
    // One transfer for all of them.
    let squares: Vec<f64> = Tensor::cat(sums, 0).try_into_vec_as().map_err(CoreError::compute)?;
    for (place, square) in places.into_iter().zip(squares) {
        norms[place] = square.sqrt();
    }
    Ok(norms)
}

/// The factor on every gradient, in the order of the model, so that norms stay within `max_norm`.
#[must_use]
pub fn clip_factors(norms: &[f64], mode: ClipMode, max_norm: f64) -> Vec<f64> {
    match mode {
        ClipMode::Global => {
            let total = total_norm(norms);
            vec![(max_norm / (total + TORCH_EPSILON)).min(1.0); norms.len()]
        }
        ClipMode::PerTensor => norms.iter().map(|&norm| max_norm / norm.max(max_norm)).collect(),
    }
}

/// Norm of all gradients together.
pub(crate) fn total_norm(norms: &[f64]) -> f64 {
    norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.push(self.gradients.get::<D>(param.id).map(ops::squared_norm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_clipping_scales_all_alike_and_only_down() {
        let factors = clip_factors(&[3.0, 4.0], ClipMode::Global, 1.0);
        assert!((factors[0] - 0.2).abs() < 1e-6 && factors[0] == factors[1]);
        assert_eq!(clip_factors(&[0.3, 0.4], ClipMode::Global, 1.0), [1.0, 1.0]);
    }

    #[test]
    fn per_tensor_clipping_looks_at_each_norm_alone() {
        assert_eq!(clip_factors(&[4.0, 0.5, 0.0], ClipMode::PerTensor, 1.0), [0.25, 1.0, 1.0]);
    }
}
