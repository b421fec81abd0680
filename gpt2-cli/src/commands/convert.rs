//! `gpt2 convert`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gpt2_core::Error;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::StoredDType;

use super::load::Quantize;
use super::{Outcome, check_generation_config, check_output};
use crate::args::Global;

/// Options of `gpt2 convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// Folder to write; an earlier model there is replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Folder with a PEFT LoRA adapter, which is merged into the weights
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Element type of the weights
    #[arg(long, value_enum, default_value_t = DType::F32)]
    dtype: DType,
    /// Quantize the weights; without it, those of a quantized folder become floats
    #[arg(long, value_enum, value_name = "BITS")]
    quantize: Option<Quantize>,
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
/// An adapter is merged.
pub fn run(args: &ConvertArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    let adapter = args.adapter.as_deref();
    check_output(&args.output, &[&[folder.path()], adapter.as_slice()].concat())?;
    check_generation_config(&folder)?;
    let mut model = folder.model(&global.device()?)?;
    // Quantized again in the same way, it stays what it is.
    if adapter.is_some() || args.quantize.is_none() {
        model = model.dequantize();
    }
    if let Some(adapter) = adapter {
        model = model.load_adapter(adapter)?.merge_lora();
    }
    if let Some(quantize) = args.quantize {
        model = model.quantize(quantize.into())?;
    }
    let tokenizer = folder.tokenizer_if_any()?;
    let generation_config = folder.generation_config()?;
    let card = card(folder.path())?;
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
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}

/// The model card, if there is one; what is not UTF-8 in it is replaced.
fn card(folder: &Path) -> Result<Option<String>, Error> {
    let path = folder.join("README.md");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
