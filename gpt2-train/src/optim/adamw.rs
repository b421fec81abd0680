//! Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

use std::collections::{HashMap, VecDeque};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use gpt2_core::Gpt2;
use gpt2_core::model::NamedParameter;
use gpt2_core::ops::{AdamWMoved, AdamWParameters, AdamWUpdate};
use serde::{Deserialize, Serialize};

/// Where epsilon is added, which is where implementations of Adam differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AdamForm {
    /// To the root of the corrected mean of squares: `torch.optim.AdamW`, and fastai's `Adam`.
    #[default]
    Torch,
    /// To the root before it is corrected (Kingma and Ba 2015, end of section 2): `tf.keras`' `Adam`.
    Keras,
}

/// Constants of the optimizer, under the names of `TrainingArguments`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Whose Adam it is.
    pub form: AdamForm,
    /// Decay of the mean of gradients, where the schedule does not move it.
    pub adam_beta1: f64,
    /// Decay of the mean of their squares.
    pub adam_beta2: f64,
    /// Added to the root of the latter.
    pub adam_epsilon: f64,
    /// Decoupled weight decay, on the parameters for which [`decays`] holds.
    pub weight_decay: f64,
}

/// The optimizer and its state, which lives on the device of the model.
///
/// Equals `torch.optim.AdamW` as `transformers`' `Trainer` sets it up; with a beta1 that moves,
/// fastai's `Adam`, which corrects with the beta1 of the step; with [`AdamForm::Keras`] Keras'. Where Burn's own `AdamW`
/// keeps one decay for all parameters and f32 constants, this one has the decay groups and the
/// f64 constants of the reference, and its state goes by parameter name.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: i32,
    moments: HashMap<String, Moments>,
}

/// The numbers of one step; the lists have an entry for each parameter, in the order of the model.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep<'a> {
    /// Learning rates.
    pub learning_rates: &'a [f64],
    /// Factors on the gradients.
    pub factors: Factors<'a>,
    /// Beta1 in place of the configured one.
    pub adam_beta1: Option<f64>,
}

/// What the gradients of a step are multiplied with, one number for each parameter.
#[derive(Debug, Clone, Copy)]
pub enum Factors<'a> {
    /// Nothing.
    None,
    /// These.
    Known(&'a [f64]),
    /// Those that the device knows, `[parameters]`: the host need not wait for them.
    OnDevice(&'a Tensor<1>),
}

#[derive(Debug)]
struct Moments {
    mean: Tensor<1>,
    square: Tensor<1>,
}

/// Whether weight decay applies to a parameter: to all but biases and LayerNorm weights.
///
/// Source: `Trainer.get_decay_parameter_names`.
#[must_use]
pub fn decays(name: &str) -> bool {
    !name.ends_with(".bias") && !is_norm(name)
}

/// Whether a parameter is of a LayerNorm.
#[must_use]
pub fn is_norm(name: &str) -> bool {
    name.contains("ln_")
}

impl AdamW {
    /// An optimizer that has seen nothing yet.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, moments: HashMap::new() }
    }

    /// Number of steps made.
    #[must_use]
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// Mean of the gradients and of their squares for every parameter of `model` that has been
    /// trained, flattened, on the device of the weights.
    pub fn moments(&self, model: &Gpt2) -> Vec<(NamedParameter, [Tensor<1>; 2])> {
        let of = |parameter: NamedParameter| {
            let Moments { mean, square } = self.moments.get(&parameter.name)?;
            Some((parameter, [mean.clone(), square.clone()]))
        };
        model.parameters().into_iter().filter_map(of).collect()
    }

    /// Sets the number of steps made.
    pub fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    /// Sets the moments of a parameter, as [`moments`](Self::moments) gives them.
    pub fn restore(&mut self, parameter: &str, [mean, square]: [Tensor<1>; 2]) {
        self.moments.insert(parameter.to_string(), Moments { mean, square });
    }

    /// Moves the weights by one step. Parameters without a gradient stay as they are.
    ///
    /// # Panics
    /// If a list of `step` is shorter than the model's list of parameters.
    #[must_use]
    pub fn step(&mut self, model: Gpt2, gradients: GradientsParams, step: AdamWStep<'_>) -> Gpt2 {
        self.steps += 1;
        self.config.adam_beta1 = step.adam_beta1.unwrap_or(self.config.adam_beta1);
        let factors = match step.factors {
            Factors::OnDevice(factors) => Some(factors.clone()),
            Factors::None | Factors::Known(_) => None,
        };
        let mut take = Take {
            optimizer: self,
            gradients,
            step,
            at: 0,
            path: Vec::new(),
            taken: Vec::new(),
            parameters: AdamWParameters::new(factors),
        };
        let model = model.map(&mut take);
        let Take { taken, parameters, .. } = take;
        let moved = taken.into_iter().zip(parameters.step()).collect::<VecDeque<_>>();
        model.map(&mut Put { optimizer: self, moved })
    }

    /// What the step does to the parameter `name`.
    fn update_of(&self, name: &str, learning_rate: f64, gradient_factor: f64) -> AdamWUpdate {
        let AdamWConfig { form, adam_beta1, adam_beta2, adam_epsilon, weight_decay } = self.config;
        let root_correction = (1.0 - adam_beta2.powi(self.steps)).sqrt();
        let rate = learning_rate / (1.0 - adam_beta1.powi(self.steps));
        let (root_factor, rate) = match form {
            AdamForm::Torch => (1.0 / root_correction, rate),
            AdamForm::Keras => (1.0, rate * root_correction),
        };
        AdamWUpdate {
            gradient_factor,
            beta1: adam_beta1,
            beta2: adam_beta2,
            root_factor,
            epsilon: adam_epsilon,
            rate,
            decay: if decays(name) { 1.0 - learning_rate * weight_decay } else { 1.0 },
        }
    }
}

/// Takes the parameters with a gradient out of a model: all of them are moved at once, and only where nobody else holds
/// them, they are changed where they lie.
struct Take<'a> {
    optimizer: &'a mut AdamW,
    gradients: GradientsParams,
    step: AdamWStep<'a>,
    /// Number of the next parameter.
    at: usize,
    path: Vec<String>,
    /// Ids and names of those that were taken.
    taken: Vec<(ParamId, String)>,
    parameters: AdamWParameters,
}

impl ModuleMapper for Take<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let at = self.at;
        self.at += 1;
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let name = self.path.join(".");
        let factor =
            if let Factors::Known(factors) = self.step.factors { factors[at] } else { 1.0 };
        let update = self.optimizer.update_of(&name, self.step.learning_rates[at], factor);
        let moments = self.optimizer.moments.remove(&name);
        let moments = moments.map(|Moments { mean, square }| [mean, square]);
        let (id, value, mapper) = param.consume();
        self.parameters.push(value.inner(), moments, gradient.clone(), at, update);
        self.taken.push((id, name));
        // Something has to stand there until the value is back, and this takes no memory.
        Param::from_mapped_value(id, gradient, mapper)
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// Puts parameters back that were taken, in their order, and their moments into the optimizer.
struct Put<'a> {
    optimizer: &'a mut AdamW,
    moved: VecDeque<((ParamId, String), AdamWMoved)>,
}

impl ModuleMapper for Put<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let is_next = |((id, _), _): &mut ((ParamId, String), AdamWMoved)| *id == param.id;
        let Some(((_, name), moved)) = self.moved.pop_front_if(is_next) else { return param };
        let (value, moments) = moved.into_parts();
        self.optimizer.restore(&name, moments);
        let (id, _, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_inner(value).require_grad(), mapper)
    }
}
