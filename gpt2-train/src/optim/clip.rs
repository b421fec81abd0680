//! Gradient clipping by norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use gpt2_core::Gpt2;
use gpt2_core::ops::SquaredNorms;
use serde::{Deserialize, Serialize};

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

/// Sum of the squares of the gradient of every parameter, `[parameters]`, in the order of the model; 0 where there is none.
/// It stays on the device.
#[must_use]
pub fn gradient_squares(model: &Gpt2, gradients: &GradientsParams) -> Tensor<1> {
    let mut squares = Squares { gradients, sums: SquaredNorms::new(&model.device()) };
    model.visit(&mut squares);
    squares.sums.finish()
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

/// [`clip_factors`] where the norms are still on the device, from their squares; `None` where nothing is clipped.
#[must_use]
pub fn clip_factors_on_device(
    squares: Tensor<1>,
    mode: ClipMode,
    max_norm: f64,
) -> Option<Tensor<1>> {
    if max_norm == 0.0 {
        return None;
    }
    let count = squares.dims();
    Some(match mode {
        ClipMode::Global => {
            let total = squares.sum().sqrt() + TORCH_EPSILON;
            (total.recip() * max_norm).clamp_max(1.0).expand(count)
        }
        ClipMode::PerTensor => squares.sqrt().clamp_min(max_norm).recip() * max_norm,
    })
}

/// Norm of all gradients together.
pub(crate) fn total_norm(norms: &[f64]) -> f64 {
    norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: SquaredNorms,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.push(self.gradients.get::<D>(param.id));
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
    fn factors_are_the_same_on_the_device() {
        let device = gpt2_core::device::best().unwrap();
        for norms in [[3.0, 4.0, 0.0], [0.3, 0.4, 0.0]] {
            for mode in [ClipMode::Global, ClipMode::PerTensor] {
                let squares = Tensor::<1>::from_floats(norms.map(|norm: f64| norm * norm), &device);
                let found = clip_factors_on_device(squares, mode, 1.0).unwrap();
                let expected = clip_factors(&norms, mode, 1.0);
                for (a, b) in found.to_data().iter::<f64>().zip(expected) {
                    assert!((a - b).abs() < 1e-6, "{a} {b} {mode:?}");
                }
            }
        }
    }

    #[test]
    fn per_tensor_clipping_looks_at_each_norm_alone() {
        assert_eq!(clip_factors(&[4.0, 0.5, 0.0], ClipMode::PerTensor, 1.0), [0.25, 1.0, 1.0]);
    }
}
