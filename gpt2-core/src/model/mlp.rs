//! The position-wise MLP.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::Conv1D;
use super::source::TensorSource;
use crate::Result;
use crate::config::Activation;
use crate::ops::{self, DropoutMasks, MlpWeights};

/// MLP of one block.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[embd, inner]`.
    pub c_fc: Conv1D,
    /// `[inner, embd]`.
    pub c_proj: Conv1D,
    #[module(skip)]
    activation: Activation,
    resid_pdrop: f64,
}

impl Mlp {
    pub(super) fn load(source: &mut TensorSource<'_>, name: &str) -> Result<Self> {
        let config = source.config();
        Ok(Self {
            c_fc: Conv1D::load(source, &format!("{name}.c_fc"))?,
            c_proj: Conv1D::load(source, &format!("{name}.c_proj"))?,
            activation: config.activation_function,
            resid_pdrop: config.resid_pdrop,
        })
    }

    pub(super) fn set_dropout(&mut self, resid_pdrop: f64) {
        self.resid_pdrop = resid_pdrop;
    }

    /// What the MLP makes of `x`, added to the residual stream.
    ///
    /// # Shapes
    /// - x, residual, output: `[batch, seq, embd]`
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        residual: Tensor<3>,
        masks: &mut DropoutMasks,
    ) -> Tensor<3> {
        let is_compact = self.c_fc.compact_for(&x).is_some();
        if is_compact || self.c_fc.has_lora() || self.c_proj.has_lora() {
            let inner = self.c_fc.forward_activated(x, self.activation, masks);
            return self.c_proj.forward_residual(inner, residual, self.resid_pdrop, masks);
        }
        let weights = MlpWeights {
            c_fc: self.c_fc.weight.val(),
            c_fc_bias: self.c_fc.bias.val(),
            c_proj: self.c_proj.weight.val(),
            c_proj_bias: self.c_proj.bias.val(),
        };
        ops::mlp(x, weights, self.activation, residual, self.resid_pdrop, masks)
    }
}
