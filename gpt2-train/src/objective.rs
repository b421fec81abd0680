//! The causal language-model objective.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Int, Tensor};
use gpt2_core::Gpt2;
use gpt2_core::model::NamedParameter;

use crate::data::ClmBatch;

/// Sum over the batch of the negative log-likelihood of every next token that counts, in nats.
///
/// Divided by [`ClmBatch::scored`] it equals the `loss` of `GPT2LMHeadModel`: labels are shifted
/// by one, -100 is ignored, and the mean is over tokens. The head is applied to the positions that count
/// only: padding, ignored labels and the last position of every row cost nothing.
///
/// # Shapes
/// - output: `[1]`
#[must_use]
pub fn clm_loss(model: &Gpt2, batch: &ClmBatch) -> Tensor<1> {
    scaled_clm_loss(model, batch, 1.0)
}

/// [`clm_loss`] times a factor, which is how it should be multiplied where it is derived: see
/// [`Gpt2::loss`].
#[must_use]
pub fn scaled_clm_loss(model: &Gpt2, batch: &ClmBatch, factor: f64) -> Tensor<1> {
    model.loss(&batch.input, batch.positions.clone(), batch.targets.clone(), factor)
}

/// As [`clm_loss`], with the number of positions where the likeliest token is the right one.
#[must_use]
pub fn clm_loss_and_hits(model: &Gpt2, batch: &ClmBatch) -> (Tensor<1>, Tensor<1, Int>) {
    model.loss_and_hits(&batch.input, batch.positions.clone(), batch.targets.clone())
}

/// Mean loss per token of a batch and its gradient with respect to every parameter.
///
/// Equals `loss.backward()` of `GPT2LMHeadModel`; the gradient of a tied embedding is the sum of
/// both uses. `model` may be on a plain device, `batch` on that of the same name. Dropout is the
/// model's own: see [`Gpt2::with_dropout`].
///
/// # Shapes
/// - loss: `[1]`; gradients: those of the parameters, flattened, in the order of the model
#[must_use]
pub fn loss_and_gradients(model: &Gpt2, batch: &ClmBatch) -> (Tensor<1>, Vec<NamedParameter>) {
    let mut names = model.parameters().into_iter();
    let model = model.clone().train();
    let loss = scaled_clm_loss(&model, batch, 1.0 / batch.scored as f64);
    let gradients = loss.backward();
    let mut found = Vec::new();
    let visit = &mut Flat { gradients, found: &mut found };
    model.visit(visit);
    let name = |values| names.next().map(|name| NamedParameter { values, ..name });
    (loss.inner(), found.into_iter().filter_map(name).collect())
}

struct Flat<'a> {
    gradients: Gradients,
    found: &'a mut Vec<Tensor<1>>,
}

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let count = value.dims().iter().product::<usize>();
        let gradient = value.grad_remove(&mut self.gradients);
        // A parameter that the batch does not reach has the gradient 0.
        self.found.push(gradient.unwrap_or_else(|| value.inner().zeros_like()).reshape([count]));
    }
}
