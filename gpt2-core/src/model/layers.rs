//! The leaf layers, with the checkpoint's field names `weight` and `bias`.

// `lora_A` and `lora_B` are the names in PEFT's files, and a field's name is the parameter's.
#![allow(non_snake_case)]

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::lora::LoraLinear;
use super::source::{self, TensorSource};
use crate::config::Activation;
use crate::lora::LoraConfig;
use crate::ops::{self, CompactWeight, DropoutMasks};
use crate::quantize::{CompactFormat, DepthAxis};
use crate::{Error, Result};

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, embd]`; where the table is in fewer bits, what it stands for.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    compact: Option<CompactWeight>,
}

impl Embedding {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        let (weight, compact) = source.weight(&format!("{name}.weight"))?;
        Ok(Self { weight, compact })
    }

    /// A score of each row of `x` for each row of the table.
    ///
    /// # Shapes
    /// - x: `[.., embd]`
    /// - output: `[.., rows]`
    pub(super) fn scores<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.compact_for(&x) {
            Some(table) => ops::quantized_scores(x, table),
            None => ops::scores(x, self.weight.val()),
        }
    }

    /// The table in fewer bits, where there is a product of it with `x`.
    pub(super) fn compact_for<const D: usize>(&self, x: &Tensor<D>) -> Option<&CompactWeight> {
        self.compact.as_ref().filter(|table| ops::takes_quantized(x, table))
    }

    /// Keeps the table in fewer bits.
    pub(super) fn compact_to(&mut self, format: CompactFormat) -> Result<()> {
        self.compact = Some(compacted(&mut self.weight, DepthAxis::Last, format)?);
        Ok(())
    }

    /// Leaves the floats that the fewer bits stand for.
    pub(super) fn expand(&mut self) {
        self.compact = None;
    }

    /// The table in fewer bits, if it is.
    #[must_use]
    pub fn compact(&self) -> Option<&CompactWeight> {
        self.compact.as_ref()
    }
}

/// A linear layer as GPT-2 stores it: the weight is `[in, out]`, not PyTorch's `[out, in]`.
#[derive(Module, Debug)]
pub struct Conv1D {
    /// `[in, out]`; where it is in fewer bits, what it stands for.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    compact: Option<CompactWeight>,
    /// From `in` to the rank of LoRA; there is either both of these or neither.
    lora_A: Option<LoraLinear>,
    /// From the rank to `out`.
    lora_B: Option<LoraLinear>,
    lora_dropout: f64,
    lora_scaling: f64,
}

impl Conv1D {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        let (weight, compact) = source.weight(&format!("{name}.weight"))?;
        Ok(Self {
            weight,
            bias: source.parameter(&format!("{name}.bias"))?,
            compact,
            lora_A: None,
            lora_B: None,
            lora_dropout: 0.0,
            lora_scaling: 0.0,
        })
    }

    /// `x @ weight + bias`; with LoRA, `+ dropout(x) @ lora_A^T @ lora_B^T * scaling`, as
    /// PEFT's `lora.Linear`.
    ///
    /// # Shapes
    /// - x: `[batch, seq, in]`
    /// - output: `[batch, seq, out]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>, masks: &mut DropoutMasks) -> Tensor<3> {
        match self.update(&x, masks) {
            // The low-rank weights are f32 beside a weight of less.
            Some(update) => {
                let output = ops::linear(x, self.weight.val(), self.bias.val());
                let dtype = output.dtype();
                output + update.cast(dtype)
            }
            None => match self.compact_for(&x) {
                Some(weight) => ops::quantized_linear(x, weight, self.bias.val()),
                None => ops::linear(x, self.weight.val(), self.bias.val()),
            },
        }
    }

    /// The weight in fewer bits, where there is a product of it with `x`.
    pub(super) fn compact_for(&self, x: &Tensor<3>) -> Option<&CompactWeight> {
        self.compact.as_ref().filter(|weight| ops::takes_quantized(x, weight))
    }

    /// The activation of [`forward`](Self::forward).
    ///
    /// # Shapes
    /// As there.
    pub(super) fn forward_activated(
        &self,
        x: Tensor<3>,
        activation: Activation,
        masks: &mut DropoutMasks,
    ) -> Tensor<3> {
        if self.has_lora() {
            return ops::activate(self.forward(x, masks), activation);
        }
        match self.compact_for(&x) {
            Some(weight) => ops::quantized_linear_activated(x, weight, self.bias.val(), activation),
            None => ops::linear_activated(x, self.weight.val(), self.bias.val(), activation),
        }
    }

    /// [`forward`](Self::forward) and then dropout, added to the residual stream.
    ///
    /// # Shapes
    /// - residual: `[batch, seq, out]`
    pub(super) fn forward_residual(
        &self,
        x: Tensor<3>,
        residual: Tensor<3>,
        p: f64,
        masks: &mut DropoutMasks,
    ) -> Tensor<3> {
        let drops = p != 0.0 && x.is_autodiff();
        if !self.has_lora() && !drops {
            let bias = self.bias.val();
            return match self.compact_for(&x) {
                Some(weight) => ops::quantized_linear_residual(x, weight, bias, residual),
                None => ops::linear_residual(x, self.weight.val(), bias, residual),
            };
        }
        let output = self.forward(x, masks).cast(residual.dtype());
        ops::dropout_residual(output, residual, p, masks)
    }

    /// Whether there are low-rank weights beside the weight.
    pub(super) fn has_lora(&self) -> bool {
        self.lora_A.is_some()
    }

    /// What LoRA adds, `[batch, seq, out]`.
    fn update(&self, x: &Tensor<3>, masks: &mut DropoutMasks) -> Option<Tensor<3>> {
        let (Some(down), Some(up)) = (&self.lora_A, &self.lora_B) else { return None };
        let low = down.forward(ops::dropout(x.clone(), self.lora_dropout, masks)); // [batch, seq, r]
        // Scaled where it is narrow.
        Some(up.forward(low * self.lora_scaling))
    }

    /// Keeps the weight in fewer bits.
    pub(super) fn compact_to(&mut self, format: CompactFormat) -> Result<()> {
        self.compact = Some(compacted(&mut self.weight, DepthAxis::First, format)?);
        Ok(())
    }

    /// Leaves the floats that the fewer bits stand for.
    pub(super) fn expand(&mut self) {
        self.compact = None;
    }

    /// The weight in fewer bits, if it is.
    #[must_use]
    pub fn compact(&self) -> Option<&CompactWeight> {
        self.compact.as_ref()
    }

    /// Puts low-rank weights beside the weight.
    pub(super) fn attach_lora(&mut self, config: &LoraConfig, down: LoraLinear, up: LoraLinear) {
        self.lora_A = Some(down);
        self.lora_B = Some(up);
        self.lora_dropout = config.lora_dropout;
        self.lora_scaling = config.scaling();
    }

    /// Adds the low-rank weights to the weight; they are then gone.
    pub(super) fn merge_lora(&mut self) {
        let (Some(down), Some(up)) = (self.lora_A.take(), self.lora_B.take()) else { return };
        let change = up.weight.val().matmul(down.weight.val()).transpose() * self.lora_scaling;
        self.weight = self.weight.clone().map(|weight| weight + change);
    }
}

/// A weight in fewer bits; its parameter is from then on what these stand for.
fn compacted(
    weight: &mut Param<Tensor<2>>,
    axis: DepthAxis,
    format: CompactFormat,
) -> Result<CompactWeight> {
    let values = weight.val();
    let numbers = values.clone().try_into_vec_as::<f32>().map_err(Error::compute)?;
    if let Some(wrong) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(Error::argument("weight", wrong, "finite numbers, to keep in fewer bits"));
    }
    let matrix = format.apply(&numbers, values.dims(), axis)?;
    *weight = source::floats(&matrix, weight.id, &values.device());
    Ok(matrix.into())
}

/// Layer normalization over the last axis (Ba et al. 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[embd]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[embd]`.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        Ok(Self {
            weight: source.parameter(&format!("{name}.weight"))?,
            bias: source.parameter(&format!("{name}.bias"))?,
            epsilon: source.config().layer_norm_epsilon,
        })
    }

    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, embd]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}
