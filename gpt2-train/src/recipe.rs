//! [`Recipe`]: the stages of a run, and whose arithmetic it follows.

use serde::{Deserialize, Serialize};

use crate::config::TrainingConfig;
use crate::groups::LayerGroups;
use crate::optim::AdamForm;
use crate::schedule::Schedule;
use crate::{Error, Result};

/// What one set of numbers for the whole run and all parameters cannot say.
///
/// The loop is the same for all: `transformers`' `Trainer` is one stage of one group; Keras is
/// another form of Adam and clips by tensor; fastai's gradual unfreezing is a list of stages, each
/// of which starts the optimizer anew.
///
/// # Example
/// GPorTuguese-2: from the last group to all of them, with rates that fall from group to group.
/// ```
/// use gpt2_train::{LayerGroups, OneCycle, Recipe, Schedule, Stage, StageLength};
///
/// let stage = |epochs, frozen_groups, learning_rate: f64| Stage {
///     length: StageLength::Epochs(epochs),
///     frozen_groups,
///     learning_rate,
///     lowest_learning_rate: (frozen_groups < 3).then(|| learning_rate / 2.6f64.powi(4)),
///     schedule: Schedule::OneCycle(OneCycle::default()),
/// };
/// let recipe = Recipe {
///     groups: LayerGroups::Blocks { blocks: 3 },
///     stages: vec![
///         stage(1.0, 3, 2e-3),
///         stage(1.0, 2, 1e-3),
///         stage(1.0, 1, 5e-4),
///         stage(2.0, 0, 1e-4),
///     ],
///     ..Recipe::default()
/// };
/// recipe.validate()?;
/// # Ok::<(), gpt2_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Whose Adam the optimizer equals.
    pub adam: AdamForm,
    /// Groups of parameters, for freezing and for learning rates.
    pub groups: LayerGroups,
    /// A token that need not be predicted, in training and in evaluation: the padding, where a data
    /// set has any.
    pub ignored_token_id: Option<u32>,
    /// What is done one after the other; at least one.
    pub stages: Vec<Stage>,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// When it ends.
    pub length: StageLength,
    /// Groups, from the first, that are not trained. Their LayerNorms are all the same, as in
    /// fastai.
    #[serde(default)]
    pub frozen_groups: usize,
    /// Highest learning rate of the last group.
    pub learning_rate: f64,
    /// Highest learning rate of the first group; those between are spread geometrically. `None`
    /// gives all groups the same.
    #[serde(default)]
    pub lowest_learning_rate: Option<f64>,
    /// Course of the learning rates within the stage.
    pub schedule: Schedule,
}

/// How long a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageLength {
    /// Passes over the training data; a fraction ends inside an epoch.
    Epochs(f64),
    /// Optimizer steps.
    Steps(usize),
}

impl StageLength {
    /// Optimizer steps, at least one.
    #[must_use]
    pub fn steps(self, steps_per_epoch: usize) -> usize {
        match self {
            Self::Epochs(epochs) => (epochs * steps_per_epoch as f64).ceil().max(1.0) as usize,
            Self::Steps(steps) => steps.max(1),
        }
    }
}

impl From<&TrainingConfig> for Recipe {
    /// One stage of one group, as the options say.
    fn from(config: &TrainingConfig) -> Self {
        let stage = Stage {
            length: config.length(),
            frozen_groups: 0,
            learning_rate: config.learning_rate,
            lowest_learning_rate: None,
            schedule: config.lr_scheduler.schedule(config.warmup_steps),
        };
        Self { stages: vec![stage], ..Self::default() }
    }
}

impl Recipe {
    /// Checks every number of every stage.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first one that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.stages.is_empty() {
            return Err(Error::option("stages", "an empty list", "at least one stage"));
        }
        self.groups.validate()?;
        self.stages.iter().try_for_each(|stage| stage.validate(self.groups.count()))
    }

    /// The same recipe with stages `factor` times as long: a rehearsal on a small corpus, or a long
    /// run from a published recipe.
    ///
    /// # Errors
    /// [`Error::Option`] for a factor that is not above 0.
    pub fn scaled(&self, factor: f64) -> Result<Self> {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Error::option("scale", factor, "a number above 0"));
        }
        let length = |length| match length {
            StageLength::Epochs(epochs) => StageLength::Epochs(epochs * factor),
            StageLength::Steps(steps) => {
                StageLength::Steps((steps as f64 * factor).ceil().max(1.0) as usize)
            }
        };
        let stage = |stage: &Stage| Stage { length: length(stage.length), ..*stage };
        Ok(Self { stages: self.stages.iter().map(stage).collect(), ..self.clone() })
    }
}

impl Stage {
    fn validate(&self, groups: usize) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let lowest = self.lowest_learning_rate.unwrap_or(self.learning_rate);
        let length = match self.length {
            StageLength::Epochs(epochs) => epochs,
            StageLength::Steps(steps) => steps as f64,
        };
        for (option, value) in [
            ("length", length),
            ("learning_rate", self.learning_rate),
            ("lowest_learning_rate", lowest),
        ] {
            if !positive(value) {
                return Err(Error::option(option, value, "a number above 0"));
            }
        }
        if self.frozen_groups >= groups {
            let expected = format!("less than the number of groups, {groups}");
            return Err(Error::option("frozen_groups", self.frozen_groups, expected));
        }
        match &self.schedule {
            Schedule::OneCycle(cycle) => cycle.validate(),
            Schedule::Exponential { start } if !positive(*start) => {
                Err(Error::option("start", start, "a number above 0"))
            }
            _ => Ok(()),
        }
    }

    /// The highest learning rate of each of so many groups.
    ///
    /// Equals `even_mults` of fastai, into which it makes `slice(lowest, highest)`.
    #[must_use]
    pub fn learning_rates(&self, groups: usize) -> Vec<f64> {
        let lowest = self.lowest_learning_rate.unwrap_or(self.learning_rate);
        if groups < 2 {
            return vec![self.learning_rate];
        }
        let step = (self.learning_rate / lowest).powf(1.0 / (groups - 1) as f64);
        (0..groups).map(|group| lowest * step.powi(group as i32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> Stage {
        Stage {
            length: StageLength::Steps(5),
            frozen_groups: 0,
            learning_rate: 8e-3,
            lowest_learning_rate: Some(1e-3),
            schedule: Schedule::Linear { warmup_steps: 0 },
        }
    }

    #[test]
    fn rates_are_spread_geometrically_over_the_groups() {
        let rates = stage().learning_rates(4);
        for (rate, expected) in rates.iter().zip([1e-3, 2e-3, 4e-3, 8e-3]) {
            assert!((rate - expected).abs() < 1e-15, "{rates:?}");
        }
        let alike = Stage { lowest_learning_rate: None, ..stage() };
        assert_eq!(alike.learning_rates(3), [8e-3; 3]);
        assert_eq!(stage().learning_rates(1), [8e-3]);
    }

    #[test]
    fn every_bad_option_is_named() {
        let with = |stage| Recipe { stages: vec![stage], ..Recipe::default() };
        for (recipe, option) in [
            (Recipe::default(), "stages"),
            (with(Stage { length: StageLength::Steps(0), ..stage() }), "length"),
            (with(Stage { length: StageLength::Epochs(f64::NAN), ..stage() }), "length"),
            (with(Stage { learning_rate: 0.0, ..stage() }), "learning_rate"),
            (with(Stage { lowest_learning_rate: Some(-1.0), ..stage() }), "lowest_learning_rate"),
            (with(Stage { frozen_groups: 1, ..stage() }), "frozen_groups"),
            (with(Stage { schedule: Schedule::Exponential { start: 0.0 }, ..stage() }), "start"),
        ] {
            let message = recipe.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{option}`")), "{message}");
        }
        with(stage()).validate().unwrap();
    }

    #[test]
    fn a_scaled_recipe_differs_in_the_lengths_alone() {
        let epochs = Stage { length: StageLength::Epochs(2.0), ..stage() };
        let recipe = Recipe { stages: vec![stage(), epochs], ..Recipe::default() };
        let half = recipe.scaled(0.5).unwrap();
        let lengths: Vec<_> = half.stages.iter().map(|stage| stage.length).collect();
        assert_eq!(lengths, [StageLength::Steps(3), StageLength::Epochs(1.0)]);
        assert_eq!(half.stages[0], Stage { length: StageLength::Steps(3), ..stage() });
        assert!(recipe.scaled(0.0).is_err() && recipe.scaled(f64::NAN).is_err());
    }

    #[test]
    fn a_recipe_survives_writing_and_reading() {
        let recipe = Recipe {
            adam: AdamForm::Keras,
            groups: LayerGroups::Blocks { blocks: 2 },
            ignored_token_id: Some(0),
            stages: vec![stage()],
        };
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    }
}
