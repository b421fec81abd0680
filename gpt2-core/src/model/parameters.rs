//! Every parameter with its name, for writers, optimizers and reports.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use super::Gpt2;
use super::source::{self, Read};
use crate::weights::names;
use crate::{Error, Result};

/// One parameter of a model.
#[derive(Debug, Clone)]
pub struct NamedParameter {
    /// Canonical name, without `transformer.`.
    pub name: String,
    /// Identity that gradients and optimizer state go by.
    pub id: ParamId,
    /// Extents.
    pub shape: Vec<usize>,
    /// The values, flattened.
    pub values: Tensor<1>,
}

impl NamedParameter {
    /// The values on the host.
    ///
    /// # Errors
    /// [`Error::Compute`] when the device fails.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.values.clone().try_into_vec_as().map_err(Error::compute)
    }

    /// The name as `transformers` writes it.
    #[must_use]
    pub fn published_name(&self) -> String {
        names::published(&self.name)
    }
}

impl Gpt2 {
    /// All parameters, each once, in the order of [`names::parameters`]; where there is LoRA, its
    /// weights follow the bias of their module, as `h.0.attn.c_attn.lora_A.weight`, `.lora_B.weight`.
    #[must_use]
    pub fn parameters(&self) -> Vec<NamedParameter> {
        let mut collector = Collector::default();
        self.visit(&mut collector);
        collector.found
    }

    /// The parameters that are not quantized, as [`parameters`](Self::parameters) has them.
    pub(crate) fn float_parameters(&self) -> Vec<NamedParameter> {
        let quantized = self.quantized_weights().into_iter().map(|(name, _)| name).collect();
        let mut collector = Collector { left_out: quantized, ..Collector::default() };
        self.visit(&mut collector);
        collector.found
    }

    /// The model with other values, which `read` gives for each name and shape, in the order of
    /// [`parameters`](Self::parameters) and LoRA's included.
    ///
    /// Identities, device and which parameters are trained stay as they are. With
    /// [`with_lora`](Self::with_lora) before it, this restores a model from named tensors.
    ///
    /// # Errors
    /// What `read` says; [`Error::Argument`] when it gives another number of values.
    ///
    /// # Example
    /// ```
    /// use gpt2_core::{Gpt2, Gpt2Config, device};
    ///
    /// let config = Gpt2Config { vocab_size: 9, n_embd: 4, n_layer: 1, n_head: 1, ..Gpt2Config::gpt2() };
    /// let model = Gpt2::init(&config, 1, &device::best()?)?;
    /// let zeros = model.with_values(|_, shape| Ok(vec![0.0; shape.iter().product()]))?;
    /// assert!(zeros.parameters()[0].to_vec()?.iter().all(|&value| value == 0.0));
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn with_values(
        self,
        mut read: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut replacer = Replacer { path: Vec::new(), read: &mut read, fault: None };
        let model = self.dequantize().map(&mut replacer);
        replacer.fault.map_or(Ok(model), Err)
    }
}

struct Replacer<'a> {
    path: Vec<String>,
    read: &'a mut Read<'a>,
    /// What went wrong first; nothing is read after it.
    fault: Option<Error>,
}

impl ModuleMapper for Replacer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.fault.is_some() {
            return param;
        }
        let (name, shape) = (self.path.join("."), param.dims().to_vec());
        let device = param.device();
        let values = (self.read)(&name, &shape)
            .and_then(|values| source::data(&name, values, shape, &device));
        match values {
            Ok(data) => param.map(|old| {
                let is_trained = old.is_require_grad();
                Tensor::from_data(data, &old.device()).set_require_grad(is_trained)
            }),
            Err(error) => {
                self.fault = Some(error);
                param
            }
        }
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    /// Names that are not asked for their values.
    left_out: HashSet<String>,
    found: Vec<NamedParameter>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if self.left_out.contains(&name) {
            return;
        }
        let values = param.val();
        let shape = values.dims().to_vec();
        let count = shape.iter().product::<usize>();
        self.found.push(NamedParameter {
            name,
            id: param.id,
            shape,
            values: values.reshape([count]),
        });
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}
