//! Options of generation, which `gpt2 generate` and `gpt2 next` share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gpt2_core::ModelFolder;
use gpt2_infer::GenerationConfig;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Failure;
use crate::args::{finite, json};

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
    /// Draw each token at random instead of taking the likeliest; alone it is true, and `=` can be a
    /// space
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    do_sample: Option<bool>,
    /// Texts that are followed side by side to find the likeliest whole
    #[arg(long, value_name = "N")]
    num_beams: Option<usize>,
    /// Above 0 long beams gain, below 0 short ones
    #[arg(long, value_name = "X", value_parser = finite)]
    length_penalty: Option<f64>,
    /// End beam search with the first `--num-beams` texts (true), when better ones are unlikely
    /// (false), or when none can come (never); alone it is true, and `=` can be a space
    #[arg(
        long,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = PossibleValuesParser::new(["true", "false", "never"]).map(early_stopping)
    )]
    early_stopping: Option<Value>,
    /// Below 1 likely tokens become likelier
    #[arg(long, value_name = "X", value_parser = finite)]
    temperature: Option<f64>,
    /// Draw from the K likeliest tokens; 0 draws from all of them
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that reach this probability together
    #[arg(long, value_name = "P", value_parser = finite)]
    top_p: Option<f64>,
    /// Draw from tokens at least P times as likely as the likeliest
    #[arg(long, value_name = "P", value_parser = finite)]
    min_p: Option<f64>,
    /// Draw from the tokens of typical information that reach this probability together
    #[arg(long, value_name = "P", value_parser = finite)]
    typical_p: Option<f64>,
    /// Draw from tokens at least this likely
    #[arg(long, value_name = "P", value_parser = finite)]
    epsilon_cutoff: Option<f64>,
    /// Draw from tokens at least this likely, or less where the distribution is flat
    #[arg(long, value_name = "P", value_parser = finite)]
    eta_cutoff: Option<f64>,
    /// Above 1 tokens that occurred become less likely
    #[arg(long, value_name = "X", value_parser = finite)]
    repetition_penalty: Option<f64>,
    /// No run of N tokens occurs twice
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<usize>,
    /// Runs of tokens that never occur, such as `[[464],[2068,7586]]`
    #[arg(long, value_name = "JSON", value_parser = json)]
    bad_words_ids: Option<Value>,
    /// Tokens that are never chosen, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppress_tokens: Vec<u32>,
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
    /// End a text that contains this; repeat it for several. A stream leaves it out
    #[arg(long = "stop", value_name = "STRING")]
    #[serde(rename = "stop_strings", skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    /// Seconds after which no further token is begun
    #[arg(long, value_name = "S", value_parser = finite)]
    max_time: Option<f64>,
    /// Guess N tokens at a time from what the text has already; the same text, sooner where it repeats
    #[arg(long, value_name = "N")]
    prompt_lookup_num_tokens: Option<usize>,
    /// Keep the last tokens of a prompt that is too long for the context
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    truncate_prompt: bool,
    /// Outgrow the context: when it is full, go on with the last N tokens
    #[arg(long, value_name = "N")]
    sliding_window: Option<usize>,
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

fn is_off(switch: &bool) -> bool {
    !switch
}

/// The value as it stands in a JSON file.
fn early_stopping(text: String) -> Value {
    text.parse().map_or(Value::String(text), Value::Bool)
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
