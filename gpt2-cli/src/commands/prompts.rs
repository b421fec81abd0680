//! Prompts, as text or token ids, and the tokenizer that they need.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::data::EncodingErrors;
use serde::Deserialize;

use super::Failure;
use super::lines::TextLines;

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
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', action = clap::ArgAction::Set)]
    prompt_ids: Vec<u32>,
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

impl PromptArgs {
    /// All prompts, whatever option they came by.
    pub fn read(&self, encoding_errors: EncodingErrors) -> Result<Vec<Prompt>, Failure> {
        if let Some(path) = &self.prompts {
            return read_prompts(path, encoding_errors);
        }
        if !self.prompt_ids.is_empty() {
            return Ok(vec![Prompt::Ids { prompt_ids: self.prompt_ids.clone() }]);
        }
        Ok(self.prompt.iter().map(|prompt| Prompt::Text { prompt: prompt.clone() }).collect())
    }
}

fn read_prompts(path: &Path, encoding_errors: EncodingErrors) -> Result<Vec<Prompt>, Failure> {
    let place = path.display();
    let file = File::open(path).map_err(|error| format!("{place}: cannot read: {error}"))?;
    let mut lines = TextLines::new(path, BufReader::new(file), encoding_errors);
    let mut prompts = Vec::new();
    while let Some((number, line)) = lines.next()? {
        let prompt = serde_json::from_str(&line).map_err(|_| {
            let expected = r#"{"prompt": ".."} or {"prompt_ids": [..]}"#;
            format!("{place}, line {number}: expected {expected}")
        })?;
        prompts.push(prompt);
    }
    if prompts.is_empty() {
        return Err(format!("{place}: there is no prompt in this file").into());
    }
    Ok(prompts)
}

/// Whether a tokenizer is needed to read the prompts.
pub fn have_text(prompts: &[Prompt]) -> bool {
    prompts.iter().any(|prompt| matches!(prompt, Prompt::Text { .. }))
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
