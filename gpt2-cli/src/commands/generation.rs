//! Options of generation, which `gpt2 generate` and `gpt2 next` share.

use std::path::PathBuf;

use clap::Args;
use gpt2_core::ModelFolder;
use gpt2_infer::GenerationConfig;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Failure;
use crate::args::finite;

/// Options of generation under their names in `GenerationConfig`; what is not given is left to the
/// model folder.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Options of generation [defaults: the model folder's]")]
pub struct GenerationArgs {
    /// Options in a JSON file
    #[arg(long, value_name = "F.json")]
    #[serde(skip)]
    generation_config: Option<PathBuf>,
    /// Longest sequence in tokens, prompt included
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Most tokens to add to the prompt
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Tokens, prompt included, before the text may end
    #[arg(long, value_name = "N")]
    min_length: Option<usize>,
    /// Tokens added to the prompt before the text may end
    #[arg(long, value_name = "N")]
    min_new_tokens: Option<usize>,
    /// Draw each token at random instead of taking the likeliest
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    do_sample: Option<bool>,
    /// Below 1 likely tokens become likelier
    #[arg(long, value_name = "X", value_parser = finite)]
    temperature: Option<f64>,
    /// Draw from the K likeliest tokens; 0 draws from all of them
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that reach this probability together
    #[arg(long, value_name = "P", value_parser = finite)]
    top_p: Option<f64>,
    /// Above 1 tokens that occurred become less likely
    #[arg(long, value_name = "X", value_parser = finite)]
    repetition_penalty: Option<f64>,
    /// No run of N tokens occurs twice
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<usize>,
    /// Sequences for each prompt
    #[arg(long, value_name = "N")]
    num_return_sequences: Option<usize>,
    /// Tokens that end a text, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    eos_token_id: Vec<u32>,
    /// Padding token; sequences are returned without padding
    #[arg(long, value_name = "ID")]
    pad_token_id: Option<u32>,
    /// Seed of the random draws [default: a new one every time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Read the whole text again for every token
    #[arg(long = "no-cache", action = clap::ArgAction::SetFalse)]
    #[serde(skip_serializing_if = "is_on")]
    use_cache: bool,
}

fn is_on(switch: &bool) -> bool {
    *switch
}

impl GenerationArgs {
    /// Whether any option was given.
    pub fn is_any(&self) -> bool {
        self.generation_config.is_some() || !self.given().is_empty()
    }

    /// The single options that were given, under their names in `GenerationConfig`.
    fn given(&self) -> Map<String, Value> {
        let Ok(Value::Object(options)) = serde_json::to_value(self) else { return Map::new() };
        options.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// The options of the folder, overridden by those of the file, overridden by single options.
    pub fn config(&self, folder: &ModelFolder) -> Result<GenerationConfig, Failure> {
        let mut config = GenerationConfig::from_pretrained(folder.path(), folder.config())?;
        if let Some(path) = &self.generation_config {
            let object = gpt2_core::config::read_object(path)?;
            config = config.merged(object).map_err(|error| error.in_file(path))?;
        }
        let given = self.given();
        // Where a file has both lengths, that of new tokens wins; here the given one has to.
        if given.contains_key("max_length") && !given.contains_key("max_new_tokens") {
            config.max_new_tokens = None;
        }
        if given.contains_key("min_length") && !given.contains_key("min_new_tokens") {
            config.min_new_tokens = None;
        }
        Ok(config.merged(given)?)
    }
}
