//! Faster bodies for a decoding step on the CPU backend `flex`.
//!
//! Each does what ordinary operations do elsewhere (see the module above), and is tested against
//! them. They read tensors where they lie in memory and record no gradients.

mod activation;
mod adamw;
mod attention;
mod linear;
pub(crate) mod memory;
mod rows;
mod simd;

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::AdamWUpdate;

/// Rows up to which a matrix is read faster than it is rearranged.
const FEW_ROWS: usize = 16;

/// New tokens of a row up to which attention goes over the cache where it lies: more than are
/// guessed at a time.
const FEW_TOKENS: usize = 32;

/// The operations, on tensors as the backend holds them.
#[backend_extension(Flex)]
pub trait CpuOps: Backend {
    /// `x @ weight + bias` of a few rows.
    fn few_rows_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x @ weight^T` of a few rows.
    fn few_rows_transposed(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x / (1 + exp(-x (slope + cubic x^2)))`.
    fn sigmoid_weighted(x: FloatTensor<Self>, slope: f32, cubic: f32) -> FloatTensor<Self>;

    /// Writes keys and values into the cache, then attends; gives output, keys and values.
    fn attend_in_place(
        qkv: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Writes rows of the cache over others.
    fn move_rows(
        cached: FloatTensor<Self>,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FloatTensor<Self>;

    /// A step of AdamW where the tensors lie; gives value, mean and mean of squares.
    fn adamw(
        value: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        update: AdamWUpdate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Zeros of the shape of a tensor, for a moment of AdamW.
    fn moment(like: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Sum of squares, an f64 `[1]`.
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `sum + factor * part`, where `sum` lies.
    fn add_scaled(
        sum: FloatTensor<Self>,
        part: FloatTensor<Self>,
        factor: f32,
    ) -> FloatTensor<Self>;
}

impl CpuOps for Flex {
    fn few_rows_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let (rows, mut shape) = rows(&x);
        shape.push(bias.layout().num_elements());
        tensor(linear::linear(floats(&x), floats(&weight), floats(&bias), rows), shape)
    }

    fn few_rows_transposed(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        let (rows, mut shape) = rows(&x);
        shape.push(weight.layout().shape()[0]);
        tensor(linear::transposed(floats(&x), floats(&weight), rows), shape)
    }

    fn sigmoid_weighted(mut x: FlexTensor, slope: f32, cubic: f32) -> FlexTensor {
        activation::sigmoid_weighted(floats_mut(&mut x), slope, cubic);
        x
    }

    fn attend_in_place(
        qkv: FlexTensor,
        mut keys: FlexTensor,
        mut values: FlexTensor,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let qkv = qkv.to_contiguous();
        let shape = extents(&keys, qkv.layout().shape()[1]);
        let new = floats(&qkv);
        // Copies only where somebody else holds the cache as well.
        attention::write(new, 1, &places, shape, keys.storage_mut());
        attention::write(new, 2, &places, shape, values.storage_mut());
        let output =
            attention::attend(new, keys.storage(), values.storage(), &places, shape, factor);
        let embd = shape.heads * shape.head_dim;
        (tensor(output, vec![places.len(), shape.seq, embd]), keys, values)
    }

    fn move_rows(
        mut cached: FlexTensor,
        from: Vec<usize>,
        first: usize,
        filled: usize,
    ) -> FlexTensor {
        let shape = extents(&cached, 1);
        rows::move_rows(cached.storage_mut(), &from, first, filled, shape);
        cached
    }

    fn adamw(
        mut value: FlexTensor,
        mut mean: FlexTensor,
        mut square: FlexTensor,
        gradient: FlexTensor,
        update: AdamWUpdate,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [values, means, squares] = [&mut value, &mut mean, &mut square].map(floats_mut);
        adamw::adamw(values, means, squares, floats(&gradient.to_contiguous()), &update);
        (value, mean, square)
    }

    fn moment(like: FlexTensor) -> FlexTensor {
        let shape = like.layout().shape().clone();
        memory::Buffer::lasting(shape.num_elements()).into_tensor(shape)
    }

    fn squared_norm(x: FlexTensor) -> FlexTensor {
        let sum = adamw::squared_norm(floats(&x.to_contiguous()));
        FlexTensor::from_data(TensorData::new(vec![sum], [1]))
    }

    fn add_scaled(mut sum: FlexTensor, part: FlexTensor, factor: f32) -> FlexTensor {
        adamw::add_scaled(floats_mut(&mut sum), floats(&part.to_contiguous()), factor);
        sum
    }
}

/// Extents of a cache, for `seq` new tokens.
fn extents(cached: &FlexTensor, seq: usize) -> attention::Shape {
    let extent = |axis: usize| cached.layout().shape()[axis];
    attention::Shape { heads: extent(1), capacity: extent(2), head_dim: extent(3), seq }
}

/// The numbers of a contiguous tensor.
fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor is contiguous and of f32, as its caller has seen to")
}

/// The numbers of a tensor, to be changed: where they lie if they lie in order and nobody else holds them, else of a copy.
fn floats_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    if tensor.as_slice::<f32>().is_none() {
        *tensor = tensor.to_contiguous();
    }
    match tensor.layout().contiguous_offsets() {
        Some((start, end)) => &mut tensor.storage_mut()[start..end],
        None => unreachable!("the tensor was made contiguous"),
    }
}

/// Product of all axes but the last, and those axes.
fn rows(x: &FlexTensor) -> (usize, Vec<usize>) {
    let mut axes = x.layout().shape().to_vec();
    axes.pop();
    (axes.iter().product(), axes)
}

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Whether a tensor is one that these operations take: of this backend, `f32`, without gradients.
pub(super) fn is_ours<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && !x.is_autodiff() && x.device() == Device::flex()
}

fn takes<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>) -> bool {
    let rows: usize = x.dims()[..D - 1].iter().product();
    (1..=FEW_ROWS).contains(&rows) && weight.dtype() == DType::F32 && is_ours(x)
}

/// `x @ weight + bias`, where that is faster here than elsewhere.
pub(super) fn linear<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<2>,
    bias: &Tensor<1>,
) -> Option<Tensor<D>> {
    takes(x, weight).then(|| {
        let [weight, bias] = [weight.clone().into_dispatch(), bias.clone().into_dispatch()];
        let output = <Dispatch as CpuOps>::few_rows_linear(x.clone().into_dispatch(), weight, bias);
        Tensor::from_dispatch(output)
    })
}

/// `x @ weight^T`, where that is faster here than elsewhere.
pub(super) fn transposed<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>) -> Option<Tensor<D>> {
    takes(x, weight).then(|| {
        let (x, weight) = (x.clone().into_dispatch(), weight.clone().into_dispatch());
        Tensor::from_dispatch(<Dispatch as CpuOps>::few_rows_transposed(x, weight))
    })
}

/// `x / (1 + exp(-x (slope + cubic x^2)))` of a tensor that [`is_ours`].
pub(super) fn sigmoid_weighted<const D: usize>(x: Tensor<D>, slope: f64, cubic: f64) -> Tensor<D> {
    let (x, slope, cubic) = (x.into_dispatch(), slope as f32, cubic as f32);
    Tensor::from_dispatch(<Dispatch as CpuOps>::sigmoid_weighted(x, slope, cubic))
}

/// Whether [`attend`] takes these tokens, `[rows, seq, any]`.
pub(super) fn attends(x: &Tensor<3>) -> bool {
    x.dims()[1] <= FEW_TOKENS && is_ours(x)
}

/// Attention of a few new tokens, whose keys and values go into the cache.
pub(super) fn attend(
    qkv: Tensor<3>,
    keys: &mut Tensor<4>,
    values: &mut Tensor<4>,
    places: Vec<Range<usize>>,
    factor: f64,
) -> Tensor<3> {
    // `extract` leaves no second owner, so that the write does not copy the cache.
    let [old_keys, old_values] = [keys.extract(), values.extract()].map(Tensor::into_dispatch);
    let (output, new_keys, new_values) = <Dispatch as CpuOps>::attend_in_place(
        qkv.into_dispatch(),
        old_keys,
        old_values,
        places,
        factor as f32,
    );
    *keys = Tensor::from_dispatch(new_keys);
    *values = Tensor::from_dispatch(new_values);
    Tensor::from_dispatch(output)
}

/// Writes rows of a cache over others where they lie; whether it did.
pub(super) fn move_rows(
    cached: &mut Tensor<4>,
    from: &[usize],
    first: usize,
    filled: usize,
) -> bool {
    let ours = is_ours(cached);
    if ours {
        let old = cached.extract().into_dispatch();
        let new = <Dispatch as CpuOps>::move_rows(old, from.to_vec(), first, filled);
        *cached = Tensor::from_dispatch(new);
    }
    ours
}

/// A step of AdamW where the tensors lie; they are ones that [`is_ours`].
pub(super) fn adamw(
    value: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    gradient: Tensor<1>,
    update: AdamWUpdate,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let gradient = gradient.into_dispatch();
    let [mean, square] = match moments {
        Some(moments) => moments.map(Tensor::into_dispatch),
        None => [(); 2].map(|()| <Dispatch as CpuOps>::moment(gradient.clone())),
    };
    let value = value.into_dispatch();
    let (value, mean, square) = <Dispatch as CpuOps>::adamw(value, mean, square, gradient, update);
    (Tensor::from_dispatch(value), [mean, square].map(Tensor::from_dispatch))
}

/// Sum of squares, an f64, of a tensor that [`is_ours`].
pub(super) fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as CpuOps>::squared_norm(x.into_dispatch()))
}

/// `sum + factor * part` where `sum` lies, of tensors that [`is_ours`].
pub(super) fn add_scaled<const D: usize>(
    sum: Tensor<D>,
    part: Tensor<D>,
    factor: f64,
) -> Tensor<D> {
    let (sum, part) = (sum.into_dispatch(), part.into_dispatch());
    Tensor::from_dispatch(<Dispatch as CpuOps>::add_scaled(sum, part, factor as f32))
}
