//! [`RecipeFile`]: a recipe as TOML.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::TrainingConfig;
use crate::groups::LayerGroups;
use crate::optim::AdamForm;
use crate::recipe::{Recipe, Stage};
use crate::{Error, Result};

/// Options that are for a run without stages; stages have them for themselves.
const OF_STAGES: [&str; 5] =
    ["num_train_epochs", "max_steps", "learning_rate", "lr_scheduler", "warmup_steps"];

/// A recipe with the numbers that hold for all of it, as a file says them.
///
/// # Example
/// ```toml
/// adam = "torch"                          # or "keras"
/// groups = { blocks = 3 }                 # or [["h.0"], ["h.1"], ["wte", "wpe", "ln_f"]]
/// ignored_token_id = 0                    # padding
///
/// [training]                              # any field of TrainingConfig
/// weight_decay = 0.01
///
/// [[stages]]
/// length = { epochs = 1 }                 # or { steps = 100 }
/// frozen_groups = 2
/// learning_rate = 2e-3
/// schedule = { one-cycle = {} }           # or { linear = { warmup_steps = 0 } }, ...
///
/// [[stages]]
/// length = { epochs = 2 }
/// learning_rate = 1e-4                    # of the last group
/// lowest_learning_rate = 2e-6             # of the first
/// schedule = { one-cycle = { pct_start = 0.3 } }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Content {
    adam: AdamForm,
    groups: LayerGroups,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_token_id: Option<u32>,
    training: Map<String, Value>,
    stages: Vec<Stage>,
}

impl RecipeFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] naming the line that is not TOML or not of a recipe.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &std::fs::read_to_string(path).map_err(Error::io("read", path))?)
    }

    /// Reads the text of a file, which messages call `name`.
    ///
    /// # Errors
    /// [`Error::Data`] naming the line that is not TOML or not of a recipe.
    pub fn parse(name: impl AsRef<Path>, text: &str) -> Result<Self> {
        let name = name.as_ref();
        let content = toml::from_str(text).map_err(Error::toml(name, text))?;
        Ok(Self { path: name.to_path_buf(), content })
    }

    /// The recipe and the options of its run: those of `given`, else those of the file, else the
    /// defaults. A file without stages is one stage, as the options say.
    ///
    /// # Errors
    /// [`Error::Data`] for an option of the file that is unknown or of another type;
    /// [`Error::Option`] for an option that the stages have for themselves; what
    /// [`TrainingConfig::validate`] and [`Recipe::validate`] say.
    pub fn resolve(&self, given: &Map<String, Value>) -> Result<(TrainingConfig, Recipe)> {
        let Content { adam, groups, ignored_token_id, training, stages } = self.content.clone();
        let mut options = training;
        options.extend(given.clone());
        let of_stages = |name: &&str| !stages.is_empty() && options.contains_key(*name);
        if let Some(option) = OF_STAGES.into_iter().find(of_stages) {
            let expected = format!("to be left to the stages of {}", self.path.display());
            return Err(Error::option(option, &options[option], expected));
        }
        let config: TrainingConfig = serde_json::from_value(Value::Object(options))
            .map_err(|error| Error::data(&self.path, None, format!("`training`: {error}")))?;
        let stages = if stages.is_empty() { Recipe::from(&config).stages } else { stages };
        let recipe = Recipe { adam, groups, ignored_token_id, stages };
        config.validate()?;
        recipe.validate()?;
        Ok((config, recipe))
    }
}

/// The text of a file that gives this recipe with these options.
///
/// # Errors
/// [`Error::Option`] for a number that TOML cannot hold.
pub fn recipe_toml(config: &TrainingConfig, recipe: &Recipe) -> Result<String> {
    let mut training = options(config)?;
    // TOML has no null: what is not said is not set.
    training.retain(|name, value| !value.is_null() && !OF_STAGES.contains(&name.as_str()));
    let Recipe { adam, groups, ignored_token_id, stages } = recipe.clone();
    let content = Content { adam, groups, ignored_token_id, training, stages };
    toml::to_string(&content).map_err(|error| unwritable("recipe", &error))
}

/// The text of `training_config.json`: the options of a run, without those that its stages have for
/// themselves.
///
/// # Errors
/// [`Error::Option`] for a number that JSON cannot hold.
pub fn resolved_options(config: &TrainingConfig, recipe: &Recipe) -> Result<String> {
    let mut options = options(config)?;
    if recipe.stages != Recipe::from(config).stages {
        options.retain(|name, _| !OF_STAGES.contains(&name.as_str()));
    }
    Ok(format!("{:#}\n", Value::Object(options)))
}

fn options(config: &TrainingConfig) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(other) => Err(unwritable("training", &other)),
        Err(error) => Err(unwritable("training", &error)),
    }
}

fn unwritable(what: &'static str, found: &dyn std::fmt::Display) -> Error {
    Error::option(what, found, "numbers that can be written to a file")
}
