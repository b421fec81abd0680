//! Where a model's parameters come from: a checkpoint, or a random generator.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::{Error, Gpt2Config, Result};

/// Gives the values of a parameter when asked by canonical name and shape.
pub(super) type Read<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// Hands out parameters by name while a model is put together.
///
/// A model is always made whole from one of these, so that a failed load leaves nothing behind.
pub(super) struct TensorSource<'a> {
    config: &'a Gpt2Config,
    device: &'a Device,
    read: &'a mut Read<'a>,
    /// Shapes that the configuration asks for, in the order in which the model asks.
    expected: std::vec::IntoIter<(String, Vec<usize>)>,
}

impl<'a> TensorSource<'a> {
    pub(super) fn new(config: &'a Gpt2Config, device: &'a Device, read: &'a mut Read<'a>) -> Self {
        let expected = crate::weights::names::parameters(config).into_iter();
        Self { config, device, read, expected }
    }

    pub(super) fn config(&self) -> &'a Gpt2Config {
        self.config
    }

    /// The next parameter, which must be the one of this name.
    ///
    /// # Errors
    /// Whatever the reader says, or [`Error::Argument`] when it gives another number of values.
    pub(super) fn parameter<const D: usize>(&mut self, name: &str) -> Result<Param<Tensor<D>>> {
        let Some((expected, shape)) = self.expected.next().filter(|(next, _)| next == name) else {
            return Err(Error::argument("name", name, "the next tensor of the model"));
        };
        let values = (self.read)(&expected, &shape)?;
        if shape.len() != D {
            return Err(Error::argument("name", name, format!("a name with a shape of {D} axes")));
        }
        Ok(Param::from_data(data(name, values, shape, self.device)?, self.device))
    }
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
