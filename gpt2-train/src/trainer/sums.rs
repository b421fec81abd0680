//! Gradients of parameters, as they come out of backward passes.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{FloatDType, Gradients, Tensor};
use gpt2_core::ops;

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
        let factor = self.factor;
        part.visit(&mut Add { sums: self, found: Found::Graph(gradients), factor });
    }

    /// Adds the sums of another part of the batch, which are freed one by one.
    pub fn add_sums(&mut self, model: &impl Module, mut sums: Self) {
        model.visit(&mut Add { sums: self, found: Found::Sums(&mut sums.sums), factor: 1.0 });
    }

    pub fn into_params(self) -> GradientsParams {
        self.sums
    }
}

/// Where gradients are taken from.
enum Found<'a> {
    Graph(&'a mut Gradients),
    Sums(&'a mut GradientsParams),
}

struct Add<'a> {
    sums: &'a mut GradientSums,
    found: Found<'a>,
    factor: f64,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let found = match &mut self.found {
            Found::Graph(gradients) => param.val().grad_remove(gradients),
            Found::Sums(sums) => sums.remove::<D>(param.id),
        };
        let Some(gradient) = found else { return };
        let (gradient, factor) = (gradient.cast(FloatDType::F32), self.factor);
        let sum = match self.sums.sums.remove::<D>(param.id) {
            Some(sum) => ops::add_scaled(sum, gradient, factor),
            None if factor == 1.0 => gradient,
            None => gradient * factor,
        };
        self.sums.sums.register(param.id, sum);
    }
}
