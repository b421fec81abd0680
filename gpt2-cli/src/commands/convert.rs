//! `gpt2 convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::StoredDType;

use super::Outcome;
use crate::args::Global;

/// Options of `gpt2 convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Element type of the weights
    #[arg(long, value_enum, default_value_t = DType::F32)]
    dtype: DType,
}

/// Element type of stored weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DType {
    /// 32-bit floats
    F32,
    /// 16-bit floats (IEEE half)
    F16,
    /// 16-bit floats (brain float)
    Bf16,
}

/// Loads a folder of any format and writes it as safetensors, with everything beside the weights.
pub fn run(args: &ConvertArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let model = folder.model(&global.device()?)?;
    let tokenizer = folder.tokenizer_if_any()?;
    let generation_config = folder.generation_config()?;
    let card = std::fs::read_to_string(folder.path().join("README.md")).ok();
    ModelToSave {
        model: &model,
        tokenizer: tokenizer.as_ref(),
        generation_config: generation_config.as_ref(),
        card: card.as_deref(),
        dtype: match args.dtype {
            DType::F32 => StoredDType::F32,
            DType::F16 => StoredDType::F16,
            DType::Bf16 => StoredDType::BF16,
        },
    }
    .save(&args.output)?;
    if !global.quiet && !global.json {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}
