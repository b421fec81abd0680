//! Dropout that follows the device: on while training, off otherwise.

use burn::tensor::{Distribution, Tensor};

/// Sets elements to zero with probability `p` and scales the others by `1 / (1 - p)`.
///
/// Does nothing unless the tensor is on a training (autodiff) device. Random numbers come from
/// the device's generator, which `Device::seed` sets. Equals `torch.nn.Dropout`.
#[must_use]
pub fn dropout<const D: usize>(x: Tensor<D>, p: f64) -> Tensor<D> {
    if p == 0.0 || !x.is_autodiff() {
        return x;
    }
    let keep = x.random_like(Distribution::Bernoulli(1.0 - p));
    x * (keep * (1.0 / (1.0 - p)))
}
