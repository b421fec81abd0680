//! What an optimizer does with all parameters: norms and sums of gradients, and the step of AdamW.

use burn::backend::Dispatch;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Device, Tensor};

use super::fused::{self, FusedOps};
use super::list::Tensors;

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

/// Parameters that AdamW moves by one step: `g = gradient_factor * gradient`, `mean = beta1 * mean + (1 - beta1) * g`,
/// `square = beta2 * square + (1 - beta2) * g^2` and
/// `value = decay * value - rate * mean / (root_factor * sqrt(square) + epsilon)`.
///
/// All are collected first, since a GPU moves many in one launch. Where the operation is fused, tensors without other
/// owners are changed where they lie, in one pass over memory.
///
/// Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
#[derive(Debug, Default)]
pub struct AdamWParameters {
    factors: Option<Tensor<1>>,
    /// Those that wait for the kernel.
    waiting: Vec<Waiting>,
    /// All of them; `None` for one that waits.
    moved: Vec<Option<AdamWMoved>>,
}

#[derive(Debug)]
struct Waiting {
    value: FloatTensor<Dispatch>,
    moments: [FloatTensor<Dispatch>; 2],
    gradient: FloatTensor<Dispatch>,
    place: usize,
    update: AdamWUpdate,
}

/// A parameter after a step.
#[derive(Debug)]
pub struct AdamWMoved {
    value: FloatTensor<Dispatch>,
    moments: [FloatTensor<Dispatch>; 2],
}

impl AdamWParameters {
    /// None yet. With `factors` a gradient is also multiplied with the one at its parameter's place, which the host
    /// need not know.
    ///
    /// # Shapes
    /// - factors: `[more than every place]`
    #[must_use]
    pub fn new(factors: Option<Tensor<1>>) -> Self {
        Self { factors, ..Self::default() }
    }

    /// Another one. Without `moments`, which are mean and square, both are 0.
    ///
    /// # Shapes
    /// - value, gradient: the same
    /// - moments: as many elements, flat
    pub fn push<const D: usize>(
        &mut self,
        value: Tensor<D>,
        moments: Option<[Tensor<1>; 2]>,
        gradient: Tensor<D>,
        place: usize,
        update: AdamWUpdate,
    ) {
        if takes(&value) && takes(&gradient) {
            let (value, gradient) = (value.into_dispatch(), gradient.into_dispatch());
            let moments = match moments {
                Some(moments) => moments.map(Tensor::into_dispatch),
                None => [(); 2].map(|()| <Dispatch as FusedOps>::moment(value.clone())),
            };
            self.waiting.push(Waiting { value, moments, gradient, place, update });
            self.moved.push(None);
            return;
        }
        let shape = value.dims();
        let count = [shape.iter().product::<usize>()];
        let mut gradient = gradient.reshape(count);
        if let Some(factors) = &self.factors {
            gradient = gradient * factors.clone().narrow(0, place, 1);
        }
        let (value, moments) = by_parts(value.reshape(count), moments, gradient, &update);
        let value = value.reshape(shape).into_dispatch();
        let moments = moments.map(Tensor::into_dispatch);
        self.moved.push(Some(AdamWMoved { value, moments }));
    }

    /// Moves them; gives them back in their order.
    #[must_use]
    pub fn step(self) -> Vec<AdamWMoved> {
        let mut found = launched(self.waiting, self.factors).into_iter();
        self.moved.into_iter().filter_map(|moved| moved.or_else(|| found.next())).collect()
    }
}

impl AdamWMoved {
    /// New value, mean and mean of squares.
    #[must_use]
    pub fn into_parts<const D: usize>(self) -> (Tensor<D>, [Tensor<1>; 2]) {
        (Tensor::from_dispatch(self.value), self.moments.map(Tensor::from_dispatch))
    }
}

/// The step of the kernel.
fn launched(parameters: Vec<Waiting>, factors: Option<Tensor<1>>) -> Vec<AdamWMoved> {
    if parameters.is_empty() {
        return Vec::new();
    }
    let count = parameters.len();
    let [mut values, mut means, mut squares, mut gradients] =
        [(); 4].map(|()| Vec::with_capacity(count));
    let (mut places, mut updates) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for Waiting { value, moments: [mean, square], gradient, place, update } in parameters {
        values.push(value);
        means.push(mean);
        squares.push(square);
        gradients.push(gradient);
        places.push(place);
        updates.push(update);
    }
    let factors = factors.into_iter().map(Tensor::into_dispatch).collect();
    let [values, means, squares, gradients, factors] =
        [values, means, squares, gradients, factors].map(Tensors);
    let (values, means, squares) =
        <Dispatch as FusedOps>::adamw(values, means, squares, gradients, factors, places, updates);
    let moments = means.0.into_iter().zip(squares.0).map(<[_; 2]>::from);
    let moved = |(value, moments)| AdamWMoved { value, moments };
    values.0.into_iter().zip(moments).map(moved).collect()
}

/// The step of one parameter, of ordinary operations.
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

/// Sums of the squares of many tensors, which stay on their device.
#[derive(Debug)]
pub struct SquaredNorms {
    /// Whether there is a kernel, which is given all tensors at once.
    is_fused: bool,
    tensors: Vec<FloatTensor<Dispatch>>,
    /// The number of each of them.
    places: Vec<usize>,
    /// One sum a tensor, where there is no kernel.
    sums: Vec<Option<Tensor<1>>>,
    count: usize,
    device: Device,
}

impl SquaredNorms {
    /// Of no tensors yet, which will be of a device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        let device = device.clone().inner();
        let is_fused = fused::is_ours(&Tensor::<1>::empty([1], &device));
        let (tensors, places, sums) = Default::default();
        Self { is_fused, tensors, places, sums, count: 0, device }
    }

    /// The next tensor, or none, whose sum is 0.
    pub fn push<const D: usize>(&mut self, x: Option<Tensor<D>>) {
        let place = self.count;
        self.count += 1;
        match x {
            Some(x) if self.is_fused => {
                self.tensors.push(x.into_dispatch());
                self.places.push(place);
            }
            x => self.sums.push(x.map(|x| x.square().sum())),
        }
    }

    /// The sums, `[count]`, in the order of the tensors.
    ///
    /// On `flex` they are f64 and the same for any number of threads, on a GPU f32, elsewhere of the type of the tensors.
    #[must_use]
    pub fn finish(self) -> Tensor<1> {
        let Self { tensors, places, sums, count, device, .. } = self;
        if !tensors.is_empty() {
            let sums = <Dispatch as FusedOps>::squared_norms(Tensors(tensors), places, count);
            return Tensor::from_dispatch(sums);
        }
        let dtype = sums.iter().flatten().map(Tensor::dtype).next();
        let zero = Tensor::<1>::zeros([1], &device).cast(dtype.unwrap_or(DType::F32));
        let sums = sums.into_iter().map(|sum| sum.unwrap_or_else(|| zero.clone()));
        Tensor::cat(sums.collect(), 0)
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
