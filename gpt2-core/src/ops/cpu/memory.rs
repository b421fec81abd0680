//! Memory for results.

use std::ops::{Deref, DerefMut};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};

/// Numbers that become a tensor.
#[derive(Debug)]
pub struct Buffer(Vec<f32>);

impl Buffer {
    /// Initialised, with any contents.
    pub fn new(len: usize) -> Self {
        Self(vec![0.0; len])
    }

    /// Zeros.
    pub fn zeroed(len: usize) -> Self {
        Self::new(len)
    }

    /// The tensor.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(self.0, shape))
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
