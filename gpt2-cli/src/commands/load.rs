//! How the commands of inference load a model.

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use gpt2_core::pretrained::{LoadOptions, WeightDType};
use gpt2_core::{Gpt2, ModelFolder, Quantization};

/// Options of loading.
#[derive(Debug, Clone, Copy, Args)]
pub struct LoadArgs {
    /// Quantize the weights as they are read: smaller and faster, and a little less exact
    #[arg(long, value_enum, value_name = "BITS")]
    quantize: Option<Quantize>,
    /// Type that weights are kept in: bf16 takes half of the memory, and computes in f32 all the same
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = WeightType::F32, conflicts_with = "quantize")]
    dtype: WeightType,
}

/// Type of the weights in memory.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeightType {
    /// 32-bit floats
    F32,
    /// 16-bit floats (brain float)
    Bf16,
}

/// How weights are quantized.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Quantize {
    /// 8-bit whole numbers
    Int8,
    /// 4-bit whole numbers in the blocks, 8-bit ones in the embedding
    Int4,
}

impl From<Quantize> for Quantization {
    fn from(quantize: Quantize) -> Self {
        match quantize {
            Quantize::Int8 => Self::Int8,
            Quantize::Int4 => Self::Int4,
        }
    }
}

impl LoadArgs {
    /// Loads the model of a folder.
    pub fn model(self, folder: &ModelFolder, device: &Device) -> gpt2_core::Result<Gpt2> {
        let dtype = if self.is_bf16() { WeightDType::BF16 } else { WeightDType::F32 };
        let options = LoadOptions { quantize: self.quantize(), dtype, ..LoadOptions::default() };
        folder.model_with(device, options)
    }

    /// A model that was not loaded, as if it had been.
    pub fn apply(self, model: Gpt2) -> gpt2_core::Result<Gpt2> {
        match self.quantize() {
            Some(quantization) => model.quantize(quantization),
            None if self.is_bf16() => model.bf16_weights(),
            None => Ok(model),
        }
    }

    /// How weights are to be quantized.
    pub fn quantize(self) -> Option<Quantization> {
        self.quantize.map(Quantization::from)
    }

    /// Whether weights are to be kept in bf16.
    pub fn is_bf16(self) -> bool {
        matches!(self.dtype, WeightType::Bf16)
    }

    /// The same for a model that is to be trained, whose weights are f32.
    pub fn trainable(self) -> Self {
        Self { quantize: None, dtype: WeightType::F32 }
    }
}
