//! The leaf layers, with the checkpoint's field names `weight` and `bias`.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, module};

use super::source::TensorSource;
use crate::{Result, ops};

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, embd]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        Ok(Self { weight: source.parameter(&format!("{name}.weight"))? })
    }

    /// Looks rows up.
    ///
    /// # Shapes
    /// - ids: `[batch, seq]`
    /// - output: `[batch, seq, embd]`
    ///
    /// # Panics
    /// If an id is not a row of the table.
    #[must_use]
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        module::embedding(self.weight.val(), ids)
    }
}

/// A linear layer as GPT-2 stores it: the weight is `[in, out]`, not PyTorch's `[out, in]`.
#[derive(Module, Debug)]
pub struct Conv1D {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Conv1D {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        Ok(Self {
            weight: source.parameter(&format!("{name}.weight"))?,
            bias: source.parameter(&format!("{name}.bias"))?,
        })
    }

    /// `x @ weight + bias`.
    ///
    /// # Shapes
    /// - x: `[batch, seq, in]`
    /// - output: `[batch, seq, out]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::linear(x, self.weight.val(), self.bias.val())
    }
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
        module::layer_norm(x, self.weight.val(), Some(self.bias.val()), self.epsilon)
    }
}
