//! A recipe worked out for a model and a number of steps.

use gpt2_core::weights::names::is_lora;

use crate::optim::is_norm;
use crate::recipe::{Recipe, Stage};
use crate::{Error, Result};

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
    /// # Errors
    /// What [`LayerGroups::of`](crate::LayerGroups::of) says of a parameter; [`Error::Option`] for a
    /// stage in which nothing is trained.
    pub fn new(recipe: &Recipe, parameters: &[String], steps_per_epoch: usize) -> Result<Self> {
        let has_lora = parameters.iter().any(|name| is_lora(name));
        let group = |name: &String| recipe.groups.of(name);
        let groups: Vec<usize> = parameters.iter().map(group).collect::<Result<_>>()?;
        let mut first = 0;
        let planned = |&stage: &Stage| {
            let steps = stage.length.steps(steps_per_epoch);
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
