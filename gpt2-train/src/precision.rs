//! [`ComputeDType`]: how many bits a training step computes with.

use burn::tensor::{Device, FloatDType};
use gpt2_core::device;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Element type of the products of a training step.
///
/// Weights, their gradients and the optimizer's state are f32 whatever it is; see
/// [`Gpt2::autocast`](gpt2_core::Gpt2::autocast) for what else stays so. Evaluations are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ComputeDType {
    /// 32 bits: everything in one type
    #[default]
    F32,
    /// 16 bits with the range of f32, `TrainingArguments.bf16`
    Bf16,
    /// 16 bits with a small range, kept by a loss scale, `TrainingArguments.fp16`
    F16,
}

impl ComputeDType {
    const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// The name that options and configurations have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    pub(crate) fn float(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }

    /// Refuses a type that a device cannot compute in.
    ///
    /// # Errors
    /// [`Error::Option`] naming the device and the types that it has.
    pub fn check(self, device: &Device) -> Result<()> {
        if device.supports_dtype(self.float()) {
            return Ok(());
        }
        let has = |dtype: &Self| device.supports_dtype(dtype.float());
        let names: Vec<_> = Self::ALL.into_iter().filter(has).map(Self::name).collect();
        let device = device::name(device).unwrap_or_else(|| "this device".to_string());
        let expected = format!("a type that `{device}` computes in: {}", names.join(", "));
        Err(Error::option("dtype", self.name(), expected))
    }
}
