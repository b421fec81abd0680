//! Where a model's parameters come from: a checkpoint, or a random generator.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};

use crate::ops::CompactWeight;
use crate::quantize::CompactMatrix;
use crate::weights::Loaded;
use crate::{Error, Gpt2Config, Result};

/// Gives the values of a parameter when asked by canonical name and shape.
pub(super) type Read<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// Gives a parameter when asked by canonical name and shape.
pub(super) type Load<'a> = dyn FnMut(&str, &[usize]) -> Result<Loaded> + 'a;

/// Hands out parameters by name while a model is put together.
///
/// A model is always made whole from one of these, so that a failed load leaves nothing behind.
pub(super) struct TensorSource<'a> {
    config: &'a Gpt2Config,
    device: &'a Device,
    load: &'a mut Load<'a>,
    /// Shapes that the configuration asks for, in the order in which the model asks.
    expected: std::vec::IntoIter<(String, Vec<usize>)>,
}

impl<'a> TensorSource<'a> {
    pub(super) fn new(config: &'a Gpt2Config, device: &'a Device, load: &'a mut Load<'a>) -> Self {
        let expected = crate::weights::names::parameters(config).into_iter();
        Self { config, device, load, expected }
    }

    pub(super) fn config(&self) -> &'a Gpt2Config {
        self.config
    }

    /// The next parameter, which must be the one of this name.
    ///
    /// # Errors
    /// Whatever the reader says, or [`Error::Argument`] when it gives another number of values.
    pub(super) fn parameter<const D: usize>(&mut self, name: &str) -> Result<Param<Tensor<D>>> {
        let (loaded, shape) = self.next(name, D)?;
        let Loaded::Float(values) = loaded else {
            return Err(Error::argument("name", name, "a weight that may be in fewer bits"));
        };
        Ok(Param::from_data(data(name, values, shape, self.device)?, self.device))
    }

    /// As [`parameter`](Self::parameter), for a weight that may be in fewer bits: with those, if it is.
    pub(super) fn weight(
        &mut self,
        name: &str,
    ) -> Result<(Param<Tensor<2>>, Option<CompactWeight>)> {
        let (loaded, shape) = self.next(name, 2)?;
        match loaded {
            Loaded::Float(values) => {
                Ok((Param::from_data(data(name, values, shape, self.device)?, self.device), None))
            }
            Loaded::Compact(matrix) if matrix.shape()[..] == shape[..] => {
                Ok((floats(&matrix, ParamId::new(), self.device), Some(matrix.into())))
            }
            Loaded::Compact(matrix) => {
                let found = format!("shape {:?} for {name}", matrix.shape());
                Err(Error::argument("load", found, format!("shape {shape:?}")))
            }
        }
    }

    fn next(&mut self, name: &str, axes: usize) -> Result<(Loaded, Vec<usize>)> {
        let Some((expected, shape)) = self.expected.next().filter(|(next, _)| next == name) else {
            return Err(Error::argument("name", name, "the next tensor of the model"));
        };
        let loaded = (self.load)(&expected, &shape)?;
        if shape.len() != axes {
            return Err(Error::argument(
                "name",
                name,
                format!("a name with a shape of {axes} axes"),
            ));
        }
        Ok((loaded, shape))
    }
}

/// The floats that a weight in fewer bits stands for. They are computed when somebody asks for them: passes on a
/// backend with products for such weights never do.
pub(super) fn floats(matrix: &CompactMatrix, id: ParamId, device: &Device) -> Param<Tensor<2>> {
    let (shape, matrix) = (matrix.shape(), matrix.clone());
    let values = move |device: &Device, is_trained: bool| {
        let data = crate::ops::weights(matrix.to_values(), matrix.shape().to_vec(), device);
        Tensor::from_data(data, device).set_require_grad(is_trained)
    };
    Param::uninitialized(id, values, device.clone(), true, Shape::from(shape))
}

/// The values that a reader gave, in the shape that it was asked for and in memory that suits the device.
///
/// # Errors
/// [`Error::Argument`] for another number of values.
pub(super) fn data(
    name: &str,
    values: Vec<f32>,
    shape: Vec<usize>,
    device: &Device,
) -> Result<TensorData> {
    let count: usize = shape.iter().product();
    if values.len() != count {
        let found = format!("{} values for {name}", values.len());
        return Err(Error::argument("read", found, format!("{count}, for shape {shape:?}")));
    }
    Ok(crate::ops::weights(values, shape, device))
}
