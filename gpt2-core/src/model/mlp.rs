//! The position-wise MLP.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::Conv1D;
use super::source::TensorSource;
use crate::Result;
use crate::config::Activation;
use crate::ops::{self, DropoutMasks};

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

    /// # Shapes
    /// - x, output: `[batch, seq, embd]`
    pub(super) fn forward(&self, x: Tensor<3>, masks: &mut DropoutMasks) -> Tensor<3> {
        let dtype = x.dtype();
        let inner = ops::activate(self.c_fc.forward(x, masks), self.activation);
        ops::dropout(self.c_proj.forward(inner, masks).cast(dtype), self.resid_pdrop, masks)
    }
}
