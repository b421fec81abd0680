//! How the commands of inference load a model.

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use gpt2_core::pretrained::{LoadOptions, WeightDType};
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder, Quantization};

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
    /// The type that most weights of a model of a folder then have.
    pub fn dtype(self, config: &Gpt2Config) -> &'static str {
        let quantization = self.quantize.map(Quantization::from).or(config.quantization_config);
        match (quantization, self.dtype) {
            (Some(quantization), _) => quantization.name(),
            (None, WeightType::Bf16) => "bf16",
            (None, WeightType::F32) => "f32",
        }
    }

    /// The options as a command line has them.
    pub fn args(self) -> Vec<String> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_string()).unwrap_or_default()
        };
        match self.quantize {
            Some(bits) => vec!["--quantize".to_string(), name(bits.to_possible_value())],
            None => vec!["--dtype".to_string(), name(self.dtype.to_possible_value())],
        }
    }

    /// Loads the model of a folder.
    pub fn model(self, folder: &ModelFolder, device: &Device) -> gpt2_core::Result<Gpt2> {
        let dtype = match self.dtype {
            WeightType::F32 => WeightDType::F32,
            WeightType::Bf16 => WeightDType::BF16,
        };
        let quantize = self.quantize.map(Quantization::from);
        folder.model_with(device, LoadOptions { quantize, dtype })
    }
}
