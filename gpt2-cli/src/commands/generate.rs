//! `gpt2 generate`.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::tokenizer::{Tokenizer, TokenizerKind};
use gpt2_core::{Error, ModelFolder};
use gpt2_infer::{FinishReason, GenerationConfig, Sequence, generate, generate_with};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Failure, Outcome};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Model folder or hub id
    model: PathBuf,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    options: GenerationArgs,
    /// Write the text as it is made (one prompt, one sequence)
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    /// Leave special tokens out of the text
    #[arg(long)]
    skip_special_tokens: bool,
}

/// Where the prompts are.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct PromptArgs {
    /// A prompt; repeat it for a batch
    #[arg(long, value_name = "T")]
    prompt: Vec<String>,
    /// Prompts, one a line: `{"prompt": ".."}` or `{"prompt_ids": [..]}`
    #[arg(long, value_name = "F.jsonl")]
    prompts: Option<PathBuf>,
    /// A prompt as token ids
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    prompt_ids: Vec<u32>,
}

/// Options of generation under their names in `GenerationConfig`; what is not given is left to the
/// model folder.
#[derive(Debug, Args, Serialize)]
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
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    do_sample: bool,
    /// Below 1 likely tokens become likelier
    #[arg(long, value_name = "X")]
    temperature: Option<f64>,
    /// Draw from the K likeliest tokens
    #[arg(long, value_name = "K", value_parser = positive)]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that reach this probability together
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Above 1 tokens that occurred become less likely
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f64>,
    /// No run of N tokens occurs twice
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<usize>,
    /// Sequences for each prompt
    #[arg(long, value_name = "N")]
    num_return_sequences: Option<usize>,
    /// Tokens that end a text
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    eos_token_id: Vec<u32>,
    /// Padding token
    #[arg(long, value_name = "ID")]
    pad_token_id: Option<u32>,
    /// Seed of the random draws
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Read the whole text again for every token
    #[arg(long = "no-cache", action = clap::ArgAction::SetFalse)]
    #[serde(skip_serializing_if = "is_on")]
    use_cache: bool,
}

fn is_off(switch: &bool) -> bool {
    !switch
}

fn is_on(switch: &bool) -> bool {
    *switch
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_string()),
        Ok(number) => Ok(number),
    }
}

/// A prompt as the user gave it.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Prompt {
    /// Text.
    Text {
        /// The text.
        prompt: String,
    },
    /// Token ids.
    Ids {
        /// The ids.
        prompt_ids: Vec<u32>,
    },
}

/// Continues every prompt.
pub fn run(args: &GenerateArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let prompts = args.prompts.read()?;
    let tokenizer = tokenizer_for(&folder, &prompts)?;
    let ids = encode(&prompts, tokenizer.as_ref())?;
    let config = args.options.config(&folder)?;
    config.validate(folder.config())?;
    let model = folder.model(&global.device()?)?;
    if args.stream {
        return stream(args, &model, tokenizer.as_ref(), &ids, &config);
    }
    let results = generate(&model, &ids, &config)?;
    for (prompt, sequences) in prompts.iter().zip(results) {
        let prompt_ids = sequences.first().map_or(&[][..], |s| &s.ids[..s.prompt_length]);
        let texts = sequences
            .iter()
            .map(|sequence| text(sequence, tokenizer.as_ref(), args.skip_special_tokens))
            .collect::<Result<Vec<_>, _>>()?;
        if global.json {
            let list: Vec<Value> = sequences.iter().zip(texts).map(object).collect();
            let prompt = match prompt {
                Prompt::Text { prompt } => Some(prompt),
                Prompt::Ids { .. } => None,
            };
            let line = json!({ "prompt": prompt, "prompt_ids": prompt_ids, "sequences": list });
            output::json(&line)?;
        } else {
            for (sequence, text) in sequences.iter().zip(texts) {
                output::line(text.unwrap_or_else(|| format!("{:?}", sequence.ids)))?;
            }
        }
    }
    Ok(())
}

fn object((sequence, text): (&Sequence, Option<String>)) -> Value {
    let finish_reason = match sequence.finish_reason {
        FinishReason::Eos => "eos",
        FinishReason::Length => "length",
        _ => "cancelled",
    };
    json!({
        "ids": sequence.ids,
        "text": text,
        "score": sequence.score,
        "finish_reason": finish_reason,
    })
}

fn text(
    sequence: &Sequence,
    tokenizer: Option<&Tokenizer>,
    skip_special_tokens: bool,
) -> Result<Option<String>, Error> {
    tokenizer.map(|tokenizer| tokenizer.decode(&sequence.ids, skip_special_tokens)).transpose()
}

/// Writes the prompt and then every piece of text that is complete.
fn stream(
    args: &GenerateArgs,
    model: &gpt2_core::Gpt2,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Outcome {
    let ([prompt], 1) = (prompts, config.num_return_sequences) else {
        return Err("`--stream` writes one sequence of one prompt".into());
    };
    let tokenizer = tokenizer.ok_or("`--stream` needs a tokenizer in the model folder")?;
    let mut decoder = tokenizer.decode_stream(args.skip_special_tokens);
    let mut failure: Option<Failure> = None;
    let mut write = |id: u32| -> Outcome {
        if let Some(piece) = decoder.push(id)? {
            output::piece(&piece)?;
        }
        Ok(())
    };
    for &id in prompt {
        write(id)?;
    }
    generate_with(model, prompts, config, |token| match write(token.id) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(output::line(decoder.finish()?.unwrap_or_default())?)
}

impl PromptArgs {
    /// All prompts, whatever option they came by.
    pub fn read(&self) -> Result<Vec<Prompt>, Failure> {
        if let Some(path) = &self.prompts {
            return read_prompts(path);
        }
        if !self.prompt_ids.is_empty() {
            return Ok(vec![Prompt::Ids { prompt_ids: self.prompt_ids.clone() }]);
        }
        Ok(self.prompt.iter().map(|prompt| Prompt::Text { prompt: prompt.clone() }).collect())
    }
}

fn read_prompts(path: &Path) -> Result<Vec<Prompt>, Failure> {
    let place = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("{place}: cannot read: {error}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let prompts: Vec<Prompt> = lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|_| {
                let expected = r#"{"prompt": ".."} or {"prompt_ids": [..]}"#;
                format!("{place}, line {}: expected {expected}", index + 1)
            })
        })
        .collect::<Result<_, String>>()?;
    if prompts.is_empty() {
        return Err(format!("{place}: there is no prompt in this file").into());
    }
    Ok(prompts)
}

impl GenerationArgs {
    /// The options of the folder, overridden by those of the file, overridden by single options.
    pub fn config(&self, folder: &ModelFolder) -> Result<GenerationConfig, Failure> {
        let mut config = GenerationConfig::from_pretrained(folder.path(), folder.config())?;
        if let Some(path) = &self.generation_config {
            let object = gpt2_core::config::read_object(path)?;
            config = config.merged(object).map_err(|error| error.in_file(path))?;
        }
        let Value::Object(given) = serde_json::to_value(self)? else { return Ok(config) };
        let given: Map<String, Value> =
            given.into_iter().filter(|(_, value)| !value.is_null()).collect();
        // The shorter of two lengths wins in a file; on the command line the given one does.
        if given.contains_key("max_length") && !given.contains_key("max_new_tokens") {
            config.max_new_tokens = None;
        }
        if given.contains_key("min_length") && !given.contains_key("min_new_tokens") {
            config.min_new_tokens = None;
        }
        Ok(config.merged(given)?)
    }
}

/// The folder's tokenizer. Where all prompts are ids, a folder may have none, or one of a kind
/// that this version cannot encode with.
pub fn tokenizer_for(
    folder: &ModelFolder,
    prompts: &[Prompt],
) -> Result<Option<Tokenizer>, Failure> {
    if prompts.iter().any(|prompt| matches!(prompt, Prompt::Text { .. })) {
        return Ok(Some(folder.tokenizer()?));
    }
    match Tokenizer::inspect(folder.path()) {
        Err(Error::MissingFile { .. }) => Ok(None),
        Ok(summary) if summary.kind == TokenizerKind::SentencePiece => Ok(None),
        _ => Ok(Some(folder.tokenizer()?)),
    }
}

/// Token ids of every prompt.
pub fn encode(prompts: &[Prompt], tokenizer: Option<&Tokenizer>) -> Result<Vec<Vec<u32>>, Failure> {
    prompts
        .iter()
        .map(|prompt| match (prompt, tokenizer) {
            (Prompt::Ids { prompt_ids }, _) => Ok(prompt_ids.clone()),
            (Prompt::Text { prompt }, Some(tokenizer)) => Ok(tokenizer.encode_ids(prompt)?),
            (Prompt::Text { .. }, None) => Err("the model folder has no tokenizer".into()),
        })
        .collect()
}
