//! A recipe worked out for a model and a number of steps.

use gpt2_core::weights::names::is_lora;

use crate::optim::is_norm;
use crate::recipe::{Recipe, Stage, StageLength};
use crate::{Error, Result};

/// Steps by which a sum of fractions of epochs may be off.
const ROUNDING: f64 = 1e-6;

/// Every stage with its place among the steps, and the group of every parameter.
#[derive(Debug)]
pub(crate) struct Plan {
    /// For each parameter, in the order of the model.
    groups: Vec<usize>,
    stages: Vec<PlannedStage>,
}

#[derive(Debug)]
struct PlannedStage {
    stage: Stage,
    /// Steps before it.
    first: usize,
    steps: usize,
    /// Highest learning rate of each group.
    learning_rates: Vec<f64>,
    /// For each parameter.
    is_trained: Vec<bool>,
}

/// What the plan says of one step.
#[derive(Debug)]
pub(crate) struct PlannedStep<'a> {
    /// Whether a stage begins with it, and the optimizer forgets.
    pub starts_stage: bool,
    /// Learning rate of each group.
    pub group_rates: Vec<f64>,
    /// Learning rate of each parameter.
    pub learning_rates: Vec<f64>,
    /// Beta1, where the schedule moves it.
    pub adam_beta1: Option<f64>,
    /// Which parameters are trained.
    pub is_trained: &'a [bool],
}

impl Plan {
    /// The plan for a model with these parameters. Where there is LoRA, only its weights are trained,
    /// each with the group of its module.
    ///
    /// A stage that ends inside a step takes it whole, and the next one has the less of it, so that
    /// fractions of an epoch make up whole epochs.
    ///
    /// # Errors
    /// What [`LayerGroups::assign`](crate::LayerGroups::assign) says of a parameter; [`Error::Option`]
    /// for a stage in which nothing is trained.
    pub fn new(recipe: &Recipe, parameters: &[String], steps_per_epoch: usize) -> Result<Self> {
        let has_lora = parameters.iter().any(|name| is_lora(name));
        let groups = recipe.groups.assign(parameters)?;
        let mut first = 0;
        // Where the stages end that are counted in epochs: between two steps, perhaps.
        let mut exact_end = 0.0;
        let planned = |&stage: &Stage| {
            let steps = match stage.length {
                StageLength::Epochs(epochs) => {
                    exact_end += epochs * steps_per_epoch as f64;
                    ((exact_end - ROUNDING).ceil() as usize).saturating_sub(first).max(1)
                }
                length => length.steps(steps_per_epoch),
            };
            let is_trained = |(name, &group): (&String, &usize)| {
                is_lora(name) == has_lora && (group >= stage.frozen_groups || is_norm(name))
            };
            let planned = PlannedStage {
                stage,
                first,
                steps,
                learning_rates: stage.learning_rates(recipe.groups.count()),
                is_trained: parameters.iter().zip(&groups).map(is_trained).collect(),
            };
            first = first.saturating_add(steps);
            if let StageLength::Steps(_) = stage.length {
                exact_end = first as f64;
            }
            planned
        };
        let stages: Vec<PlannedStage> = recipe.stages.iter().map(planned).collect();
        if let Some(idle) = stages.iter().find(|stage| !stage.is_trained.contains(&true)) {
            let expected = "fewer, so that a group with LoRA weights is left to train";
            return Err(Error::option("frozen_groups", idle.stage.frozen_groups, expected));
        }
        Ok(Self { groups, stages })
    }

    /// Steps of all stages.
    pub fn total_steps(&self) -> usize {
        self.stages.iter().fold(0, |total, stage| total.saturating_add(stage.steps))
    }

    /// What is done at `step`, counted from 0; beyond the end, the last stage.
    ///
    /// # Panics
    /// If there is no stage; the recipe has been checked.
    pub fn at(&self, step: usize) -> PlannedStep<'_> {
        let stage = self.stages.partition_point(|stage| stage.first <= step).saturating_sub(1);
        let planned = &self.stages[stage];
        let within = step - planned.first;
        let factor = planned.stage.schedule.factor(within, planned.steps);
        let group_rates: Vec<f64> =
            planned.learning_rates.iter().map(|rate| rate * factor).collect();
        PlannedStep {
            starts_stage: within == 0,
            learning_rates: self.groups.iter().map(|&group| group_rates[group]).collect(),
            group_rates,
            adam_beta1: planned.stage.schedule.adam_beta1(within, planned.steps),
            is_trained: &planned.is_trained,
        }
    }
}
