//! What an optimizer does with all parameters: norms and sums of gradients, and the step of AdamW.

use burn::backend::Dispatch;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Device, Tensor};

use super::fused::{self, FusedOps};
use crate::device;

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
    if takes(&value) && takes(&gradient) {
        let (value, gradient) = (value.into_dispatch(), gradient.into_dispatch());
        let [mean, square] = started(moments, &value);
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

/// As [`adamw`], with one more factor on the gradient that only the device knows: `factors[at]`.
///
/// # Shapes
/// As there; factors: `[more than at]`
#[must_use]
pub fn adamw_clipped(
    value: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    gradient: Tensor<1>,
    factors: &Tensor<1>,
    at: usize,
    update: &AdamWUpdate,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    if !takes(&value) || !takes(&gradient) {
        let factor = factors.clone().narrow(0, at, 1);
        return by_parts(value, moments, gradient * factor, update);
    }
    let (gradient, factors) = (gradient.into_dispatch(), factors.clone().into_dispatch());
    let value = value.into_dispatch();
    let [mean, square] = started(moments, &value);
    let (value, mean, square) =
        <Dispatch as FusedOps>::adamw_clipped(value, mean, square, gradient, factors, at, *update);
    (Tensor::from_dispatch(value), [mean, square].map(Tensor::from_dispatch))
}

/// Moments as they are, or before the first step.
fn started(
    moments: Option<[Tensor<1>; 2]>,
    value: &FloatTensor<Dispatch>,
) -> [FloatTensor<Dispatch>; 2] {
    match moments {
        Some(moments) => moments.map(Tensor::into_dispatch),
        None => [(); 2].map(|()| <Dispatch as FusedOps>::moment(value.clone())),
    }
}

/// Sum of the squares of all elements, `[1]`.
///
/// On `flex` it is an f64 and the same for any number of threads, elsewhere of the type of `x`.
#[must_use]
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    if takes(&x) {
        return Tensor::from_dispatch(<Dispatch as FusedOps>::squared_norm(x.into_dispatch()));
    }
    x.square().sum()
}

/// Sums of the squares of many tensors, which stay on their device.
#[derive(Debug)]
pub struct SquaredNorms {
    /// Partial sums of each tensor, where there is a kernel that makes them.
    partial: Option<Tensor<2>>,
    /// One sum a tensor, where there is none.
    whole: Vec<Option<Tensor<1>>>,
    added: usize,
    device: Device,
}

impl SquaredNorms {
    /// Partial sums of one tensor.
    const PARTS: usize = 256;

    /// Room for the sums of `count` tensors on a device.
    #[must_use]
    pub fn new(count: usize, device: &Device) -> Self {
        let device = device.clone().inner();
        let partial = device::is_gpu(&device)
            .then(|| Tensor::zeros([count, Self::PARTS], &device))
            .filter(fused::is_ours);
        Self { partial, whole: Vec::new(), added: 0, device }
    }

    /// Adds the sum of the next tensor, or 0 for none.
    pub fn push<const D: usize>(&mut self, x: Option<Tensor<D>>) {
        let at = self.added;
        self.added += 1;
        match (&mut self.partial, x) {
            (Some(partial), Some(x)) => {
                let sums = partial.extract().into_dispatch();
                let sums = <Dispatch as FusedOps>::squares_into(sums, x.into_dispatch(), at);
                *partial = Tensor::from_dispatch(sums);
            }
            (Some(_), None) => {}
            (None, x) => self.whole.push(x.map(squared_norm)),
        }
    }

    /// The sums, `[count]`, in the order in which tensors were added.
    #[must_use]
    pub fn finish(self) -> Tensor<1> {
        match self.partial {
            Some(partial) => partial.sum_dim(1).squeeze_dim(1),
            None => {
                let dtype = self.whole.iter().flatten().map(Tensor::dtype).next();
                let zero = Tensor::<1>::zeros([1], &self.device).cast(dtype.unwrap_or(DType::F32));
                let sums = self.whole.into_iter().map(|sum| sum.unwrap_or_else(|| zero.clone()));
                Tensor::cat(sums.collect(), 0)
            }
        }
    }
}

/// `sum + factor * part`, where `sum` lies if it has no other owner.
///
/// # Shapes
/// Both of one shape.
#[must_use]
pub fn add_scaled<const D: usize>(sum: Tensor<D>, part: Tensor<D>, factor: f64) -> Tensor<D> {
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
fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && fused::is_ours(x)
}
