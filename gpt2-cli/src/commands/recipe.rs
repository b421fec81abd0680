//! The numbers of `gpt2 train` and `gpt2 lr-find`: a file, and options over it.

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use gpt2_train::{Recipe, RecipeFile, TrainingConfig};
use serde_json::{Map, Value};

use super::Failure;

/// Options that say how a model is trained.
#[derive(Debug, Clone, Args)]
pub struct RecipeArgs {
    /// Recipe with stages, layer groups and the options below, which override it
    #[arg(long = "recipe", value_name = "R.toml")]
    pub file: Option<PathBuf>,
    /// The numbers of the recipe.
    #[command(flatten, next_help_heading = "Recipe")]
    options: TrainingConfig,
    /// Names of the numbers that the command line itself gives.
    #[arg(skip)]
    given: Vec<String>,
}

impl RecipeArgs {
    /// Notes which options are no defaults; a recipe file stands between the two.
    pub fn note_given(&mut self, matches: &ArgMatches) {
        let is_given = |id: &clap::Id| {
            matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine)
        };
        let ids = matches.ids().filter(|id| is_given(id));
        self.given = ids.map(|id| id.as_str().to_string()).collect();
    }

    /// Whether the command line gives an option.
    pub fn gives(&self, option: &str) -> bool {
        self.given.iter().any(|given| given == option)
    }

    /// Options and recipe: those of the file, with what the command line itself gives over them.
    pub fn resolve(&self) -> Result<(TrainingConfig, Recipe), Failure> {
        let Some(file) = &self.file else {
            return Ok((self.options.clone(), Recipe::from(&self.options)));
        };
        Ok(RecipeFile::read(file)?.resolve(&self.given_options()?)?)
    }

    fn given_options(&self) -> Result<Map<String, Value>, Failure> {
        let Value::Object(mut options) = serde_json::to_value(&self.options)? else {
            return Err("the options are no object".into());
        };
        options.retain(|name, _| self.gives(name));
        Ok(options)
    }
}
