//! Gradients of parameters, as they come out of backward passes.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{FloatDType, Gradients, Tensor};

/// Sums of gradients, in f32 and without the loss scale.
///
/// They go by the ids of the parameters: what stands in two places of a model under one id, as a
/// tied embedding and its head, has the sum of both.
pub(super) struct GradientSums {
    sums: GradientsParams,
    /// What the gradients are multiplied with.
    factor: f64,
}

impl GradientSums {
    /// No gradients yet, of a loss that will have been multiplied with `loss_factor`.
    pub fn new(loss_factor: f64) -> Self {
        Self { sums: GradientsParams::new(), factor: 1.0 / loss_factor }
    }

    /// Adds the gradients of the parameters of `part`.
    pub fn add(&mut self, part: &impl Module, gradients: &mut Gradients) {
        part.visit(&mut Add { sums: self, gradients });
    }

    pub fn into_params(self) -> GradientsParams {
        self.sums
    }
}

struct Add<'a> {
    sums: &'a mut GradientSums,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad_remove(self.gradients) else { return };
        let GradientSums { sums, factor } = &mut *self.sums;
        let gradient = gradient.cast(FloatDType::F32);
        let gradient = if *factor == 1.0 { gradient } else { gradient * *factor };
        let sum = match sums.remove::<D>(param.id) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        sums.register(param.id, sum);
    }
}
