//! `gpt2 info`.

use std::path::PathBuf;

use clap::Args;
use gpt2_core::{Error, ModelFolder};
use serde_json::{Value, json};

use super::{Outcome, check_generation_config};
use crate::args::Global;
use crate::output;

/// Options of `gpt2 info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model folder or hub id
    model: PathBuf,
}

/// Checks configuration, tensor names and shapes, tokenizer and generation defaults.
pub fn run(args: &InfoArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    check_generation_config(&folder)?;
    let tokenizer = tokenizer(&folder)?;
    let checkpoint = folder.checkpoint()?;
    checkpoint.audit(folder.config())?;
    let files: Vec<_> =
        checkpoint.files().iter().filter_map(|file| file.file_name()?.to_str()).collect();
    let mut object = json!({
        "parameters": folder.config().parameter_count(),
        "config": folder.config().to_json(),
        "tokenizer": tokenizer,
        "weights": {
            "format": checkpoint.format().name(),
            "dtype": checkpoint.dtype(),
            "files": files,
        },
    });
    if let Some(quantization) = folder.config().quantization_config {
        object["weights"]["quantization"] = quantization.name().into();
    }
    if global.json {
        output::json(&object)?;
    } else {
        output::line(text(&object))?;
    }
    Ok(())
}

/// Kind and size of the tokenizer, and how many embeddings have no token; null where there is none.
fn tokenizer(folder: &ModelFolder) -> Result<Value, Error> {
    let Some(tokenizer) = folder.tokenizer_if_any()? else { return Ok(Value::Null) };
    let mut object =
        json!({ "kind": tokenizer.kind().name(), "vocab_size": tokenizer.vocab_size() });
    let unused = folder.config().vocab_size - tokenizer.vocab_size();
    if unused > 0 {
        object["unused_embeddings"] = unused.into();
    }
    Ok(object)
}

fn text(object: &Value) -> String {
    let config = &object["config"];
    let weights = &object["weights"];
    let files: Vec<_> = weights["files"].as_array().into_iter().flatten().map(plain).collect();
    let tokenizer = match &object["tokenizer"] {
        Value::Null => "none".to_string(),
        found => {
            let tokens = format!("{}, {} tokens", plain(&found["kind"]), found["vocab_size"]);
            match &found["unused_embeddings"] {
                Value::Null => tokens,
                unused => format!("{tokens} ({unused} embeddings have none)"),
            }
        }
    };
    let dtype = match &weights["quantization"] {
        Value::Null => plain(&weights["dtype"]),
        name => format!("{}, the rest {}", plain(name), plain(&weights["dtype"])),
    };
    output::list([
        ("parameters", grouped(&object["parameters"].to_string())),
        ("layers", config["n_layer"].to_string()),
        ("width", config["n_embd"].to_string()),
        ("heads", config["n_head"].to_string()),
        ("context", config["n_positions"].to_string()),
        ("vocabulary", config["vocab_size"].to_string()),
        ("activation", plain(&config["activation_function"])),
        ("tied head", config["tie_word_embeddings"].to_string()),
        ("tokenizer", tokenizer),
        ("weights", format!("{}, {dtype}", plain(&weights["format"]))),
        ("files", files.join(", ")),
    ])
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A string without its quotes, anything else as JSON writes it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
