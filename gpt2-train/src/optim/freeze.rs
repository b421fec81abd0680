//! Gradients of frozen parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use gpt2_core::Gpt2;

/// Drops the gradients of the parameters, in the order of the model, that are not trained: norm,
/// clipping and optimizer then pass them over, as PyTorch's do a parameter without `requires_grad`.
///
/// # Panics
/// If `is_trained` is shorter than the model's list of parameters.
pub fn retain_gradients(model: &Gpt2, gradients: &mut GradientsParams, is_trained: &[bool]) {
    model.visit(&mut Retain { gradients, is_trained, at: 0 });
}

struct Retain<'a> {
    gradients: &'a mut GradientsParams,
    is_trained: &'a [bool],
    at: usize,
}

impl ModuleVisitor for Retain<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.is_trained[self.at] {
            self.gradients.remove::<D>(param.id);
        }
        self.at += 1;
    }
}
