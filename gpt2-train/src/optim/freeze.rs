//! Parameters that are not trained.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use gpt2_core::Gpt2;

/// Says of every parameter, in the order of the model, whether it is trained: PyTorch's
/// `requires_grad`. One that the caller has frozen before stays so.
///
/// Of the others no gradient is computed, neither their own nor one that leads to them alone, so
/// norm, clipping and optimizer pass them over. The model should be off the training device;
/// [`Module::train`] then makes leaves that know.
///
/// # Panics
/// If `is_trained` is shorter than the model's list of parameters.
#[must_use]
pub fn require_gradients(model: Gpt2, is_trained: &[bool]) -> Gpt2 {
    model.map(&mut Require { is_trained, at: 0 })
}

struct Require<'a> {
    is_trained: &'a [bool],
    at: usize,
}

impl ModuleMapper for Require<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.at += 1;
        if self.is_trained[self.at - 1] { param } else { param.set_require_grad(false) }
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use gpt2_core::{Gpt2Config, LoraConfig, device};

    use super::*;
    use crate::data::{ClmBatch, Example};
    use crate::objective::clm_loss;

    fn model() -> Gpt2 {
        let config = Gpt2Config {
            vocab_size: 20,
            n_positions: 8,
            n_embd: 8,
            n_layer: 2,
            n_head: 2,
            ..Gpt2Config::gpt2()
        };
        let model = Gpt2::init(&config, 1, &device::test_device()).unwrap();
        model.with_dropout(0.0).unwrap().with_lora(&LoraConfig::default(), 1).unwrap()
    }

    /// Name of every parameter, and its gradient if one was computed.
    fn gradients(is_trained: &[bool]) -> Vec<(String, Option<Vec<f32>>)> {
        let model = require_gradients(model(), is_trained).train();
        let example = Example::new(vec![1, 5, 2, 9, 3]);
        let batch = ClmBatch::new(&[&example], &model.device()).unwrap();
        let mut backward = clm_loss(&model, &batch).backward();
        let found = GradientsParams::from_module(&mut backward, &model);
        let gradient = |parameter: gpt2_core::model::NamedParameter| {
            let values = match parameter.shape.len() {
                1 => found.get::<1>(parameter.id).map(|gradient| gradient.into_data()),
                _ => found.get::<2>(parameter.id).map(|gradient| gradient.into_data()),
            };
            (parameter.name, values.map(|values| values.try_into_vec::<f32>().unwrap()))
        };
        model.parameters().into_iter().map(gradient).collect()
    }

    #[test]
    fn only_what_is_trained_has_a_gradient_and_the_same_as_ever() {
        let names: Vec<String> = model().parameters().into_iter().map(|p| p.name).collect();
        let all = gradients(&vec![true; names.len()]);
        assert!(all.iter().all(|(_, gradient)| gradient.is_some()));
        type Rule = fn(&str) -> bool;
        let rules: [Rule; 4] = [
            |name| name.starts_with("h.1."),
            |name| name.contains("lora_"),
            |name| name.contains("ln_"),
            |name| name == "wpe.weight",
        ];
        for rule in rules {
            let is_trained: Vec<bool> = names.iter().map(|name| rule(name)).collect();
            for ((name, found), (_, expected)) in gradients(&is_trained).iter().zip(&all) {
                match rule(name) {
                    true => assert_eq!(found, expected, "{name}"),
                    false => assert_eq!(found, &None, "{name}"),
                }
            }
        }
    }
}
