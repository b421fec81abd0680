//! What an optimizer does with all parameters: norms and sums of gradients, and the step of AdamW.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use {
    super::fused::{self, FusedOps},
    burn::backend::Dispatch,
};

/// The constants of one step of Adam with decoupled weight decay for one parameter.
///
/// In f64, as the references compute them; each is rounded to the type of the tensors where it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWUpdate {
    /// Factor on the gradient, as of clipping.
    pub gradient_factor: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Factor on the root of the latter, before `epsilon` is added: PyTorch corrects it here, Keras does not.
    pub root_factor: f64,
    /// Added to that root.
    pub epsilon: f64,
    /// Factor on the quotient of mean and root: the learning rate with what is left to correct.
    pub rate: f64,
    /// Factor on the weights: `1 - learning_rate * weight_decay`, or 1.
    pub decay: f64,
}

/// Moves a parameter by one step: `g = gradient_factor * gradient`, `mean = beta1 * mean + (1 - beta1) * g`,
/// `square = beta2 * square + (1 - beta2) * g^2` and
/// `value = decay * value - rate * mean / (root_factor * sqrt(square) + epsilon)`.
///
/// Gives the new value, mean and square; without `moments`, which are mean and square, both start at 0. Where a tensor
/// has no other owner and the backend is `flex`, it is changed where it lies, in one pass over memory.
///
/// Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
///
/// # Shapes
/// All of one shape.
#[must_use]
pub fn adamw(
    value: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    gradient: Tensor<1>,
    update: &AdamWUpdate,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    #[cfg(feature = "flex")]
    if takes(&value) && takes(&gradient) {
        let gradient = gradient.into_dispatch();
        let [mean, square] = match moments {
            Some(moments) => moments.map(Tensor::into_dispatch),
            None => [(); 2].map(|()| <Dispatch as FusedOps>::moment(gradient.clone())),
        };
        let value = value.into_dispatch();
        let (value, mean, square) =
            <Dispatch as FusedOps>::adamw(value, mean, square, gradient, *update);
        return (Tensor::from_dispatch(value), [mean, square].map(Tensor::from_dispatch));
    }
    by_parts(value, moments, gradient, update)
}

/// As [`adamw`], of ordinary operations.
#[must_use]
pub fn by_parts(
    value: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    gradient: Tensor<1>,
    update: &AdamWUpdate,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let AdamWUpdate { gradient_factor, beta1, beta2, root_factor, epsilon, rate, decay } = *update;
    let gradient = scaled(gradient, gradient_factor);
    let square = gradient.clone().square() * (1.0 - beta2);
    let mean = gradient * (1.0 - beta1);
    let (mean, square) = match moments {
        Some([old_mean, old_square]) => (old_mean * beta1 + mean, old_square * beta2 + square),
        None => (mean, square),
    };
    let root = scaled(square.clone().sqrt(), root_factor) + epsilon;
    let value = scaled(value, decay) - mean.clone() / root * rate;
    (value, [mean, square])
}

/// Sum of the squares of all elements, `[1]`.
///
/// On `flex` it is an f64 and the same for any number of threads, elsewhere of the type of `x`.
#[must_use]
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if takes(&x) {
        return Tensor::from_dispatch(<Dispatch as FusedOps>::squared_norm(x.into_dispatch()));
    }
    x.square().sum()
}

/// `sum + factor * part`, where `sum` lies if it has no other owner.
///
/// # Shapes
/// Both of one shape.
#[must_use]
pub fn add_scaled<const D: usize>(sum: Tensor<D>, part: Tensor<D>, factor: f64) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if takes(&sum) && takes(&part) {
        let (sum, part) = (sum.into_dispatch(), part.into_dispatch());
        return Tensor::from_dispatch(<Dispatch as FusedOps>::add_scaled(sum, part, factor as f32));
    }
    sum + scaled(part, factor)
}

/// `factor * x`, without a pass over memory where nothing changes.
fn scaled<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    if factor == 1.0 { x } else { x * factor }
}

/// Whether these operations, which record nothing, have a faster body for a tensor.
#[cfg(feature = "flex")]
fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && fused::is_ours(x)
}
