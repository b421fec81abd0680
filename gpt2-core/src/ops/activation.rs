//! The MLP's nonlinearities.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::Dispatch;
use burn::tensor::{Tensor, activation};

use super::fused::{self, FusedOps};
use crate::config::Activation;

/// `sqrt(2 / pi)`, the slope of the tanh approximation of GELU.
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
/// As much twice, in the form that needs no tanh.
pub(super) const TWICE_SLOPE: f64 = 2.0 * SQRT_2_OVER_PI;
/// Weight of the cubic term (Hendrycks and Gimpel 2016, section 2).
pub(super) const CUBIC: f64 = 0.044_715;
/// Steepness of `quick_gelu`'s sigmoid, from the same section.
const QUICK: f64 = 1.702;

/// Applies the nonlinearity to every element. Equals the entry of `transformers`' `ACT2FN`.
#[must_use]
pub fn activate<const D: usize>(x: Tensor<D>, function: Activation) -> Tensor<D> {
    match function {
        Activation::Gelu => gelu(x),
        Activation::GeluNew | Activation::GeluPytorchTanh | Activation::GeluFast => gelu_tanh(x),
        Activation::QuickGelu => x.clone() * activation::sigmoid(x * QUICK),
        Activation::Relu => activation::relu(x),
        Activation::Silu | Activation::Swish => x.clone() * activation::sigmoid(x),
        Activation::Tanh => x.tanh(),
    }
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`.
///
/// Burn's own is used where nothing is differentiated: on most backends its derivative is that of the
/// tanh approximation, which is off by up to 1e-3.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !x.is_autodiff() {
        return activation::gelu(x);
    }
    let twice = (x.clone() * FRAC_1_SQRT_2).erf() + 1.0;
    x * twice * 0.5
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if fused::is_ours(&x) {
        return Tensor::from_dispatch(<Dispatch as FusedOps>::gelu_tanh(x.into_dispatch()));
    }
    by_parts(x)
}

/// Written as `x * sigmoid(2 u)`, which is the same number in half the operations.
#[must_use]
pub fn by_parts<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let square = x.clone() * x.clone();
    let twice = (square * (TWICE_SLOPE * CUBIC) + TWICE_SLOPE) * x.clone();
    x * activation::sigmoid(twice)
}
