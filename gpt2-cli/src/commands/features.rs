//! `gpt2 features`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gpt2_core::Error;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_infer::{FeatureOptions, Features, Pooling, features};
use serde::Serialize;

use super::corpus::EncodingArgs;
use super::load::LoadArgs;
use super::prompts::{PromptArgs, encode, have_text};
use super::{Outcome, tokenizer_for};
use crate::args::Global;
use crate::output;

/// Numbers of a row that a person is shown.
const SHOWN: usize = 6;

/// Options of `gpt2 features`.
#[derive(Debug, Args)]
pub struct FeaturesArgs {
    /// Model folder or hub id
    model: PathBuf,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    encoding: EncodingArgs,
    /// Hidden state, as a Python index: 0 is the embeddings, -1 the last one
    #[arg(long, value_name = "N", default_value_t = -1)]
    layer: isize,
    /// One row for each token, or one for the prompt
    #[arg(long, value_enum, default_value_t = Pool::None)]
    pool: Pool,
    #[command(flatten)]
    load: LoadArgs,
}

/// How the rows of the tokens become one.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pool {
    /// They do not: one row for each token
    None,
    /// The mean over the tokens
    Mean,
    /// The row of the last token
    Last,
}

#[derive(Serialize)]
struct Line<'a> {
    ids: &'a [u32],
    features: &'a [Vec<f32>],
}

/// The hidden states of every prompt.
pub fn run(args: &FeaturesArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let prompts = args.prompts.read(args.encoding.encoding_errors)?;
    let tokenizer = tokenizer_for(&folder, have_text(&prompts))?;
    let ids = encode(&prompts, tokenizer.as_ref())?;
    let pooling = match args.pool {
        Pool::None => Pooling::None,
        Pool::Mean => Pooling::Mean,
        Pool::Last => Pooling::Last,
    };
    let model = args.load.model(&folder, &global.device()?)?;
    let found = features(&model, &ids, &FeatureOptions { layer: args.layer, pooling })?;
    for (number, features) in found.iter().enumerate() {
        if global.json {
            output::json(&Line { ids: &features.ids, features: &features.rows })?;
            continue;
        }
        if number > 0 {
            output::line("---")?;
        }
        show(features, args.pool, tokenizer.as_ref())?;
    }
    Ok(())
}

/// A line for each row: what it belongs to, and its first numbers.
fn show(features: &Features, pool: Pool, tokenizer: Option<&Tokenizer>) -> Outcome {
    let name = |at: usize| -> Result<String, Error> {
        let id = features.ids[at];
        let text = tokenizer.map(|tokenizer| tokenizer.decode(&[id], false)).transpose()?;
        Ok(format!("{id:>6}  {:<14}", text.map(|text| format!("{text:?}")).unwrap_or_default()))
    };
    for (at, row) in features.rows.iter().enumerate() {
        let name = match pool {
            Pool::None => name(at)?,
            Pool::Mean => format!("mean of {} tokens", features.ids.len()),
            Pool::Last => name(features.ids.len() - 1)?,
        };
        let shown: Vec<_> = row.iter().take(SHOWN).map(|value| format!("{value:>9.4}")).collect();
        let more = row.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("  and {more} more") } else { String::new() };
        output::line(format_args!("{name}{}{more}", shown.concat()))?;
    }
    Ok(())
}
