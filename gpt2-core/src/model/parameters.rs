//! Every parameter with its name, for writers, optimizers and reports.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use super::Gpt2;
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
    /// All parameters, each once, in the order of [`names::parameters`].
    #[must_use]
    pub fn parameters(&self) -> Vec<NamedParameter> {
        let mut collector = Collector::default();
        self.visit(&mut collector);
        collector.found
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    found: Vec<NamedParameter>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val();
        let shape = values.dims().to_vec();
        let count = shape.iter().product::<usize>();
        self.found.push(NamedParameter {
            name: self.path.join("."),
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
