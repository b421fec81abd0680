//! Causal self-attention between queries and a (possibly longer) run of keys and values.

use std::ops::Range;
use std::sync::OnceLock;

use burn::backend::Dispatch;
use burn::tensor::{Bool, Device, FloatDType, Tensor, TensorData, activation::softmax};

use super::fused::{self, FusedOps};
use super::{DropoutMasks, dropout};
use crate::device;

/// Score of a key that a query must not see.
///
/// Finite, as in `transformers`: a row that may see nothing (padding) then gets uniform
/// probabilities instead of NaN, which would spread to the rest of the batch.
const HIDDEN: f32 = f32::MIN;

/// How scores are scaled before the softmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionScale {
    /// Factor on every score.
    pub factor: f64,
    /// Scale the keys before the dot product instead of the scores after it.
    pub keys_first: bool,
}

/// What is added to the scores to hide keys; `[1 or batch, 1, queries, keys]`.
///
/// Made once per forward pass and shared by all blocks. One that only hides what comes after a token is made when it
/// is first needed, which it may never be.
#[derive(Debug, Clone)]
pub struct AttentionBias {
    made: OnceLock<Option<Tensor<4>>>,
    /// Number of tokens and place of one that is causal and no more.
    causal: Option<(usize, Device)>,
    is_by_places: bool,
}

impl AttentionBias {
    /// Hides nothing by itself: for [`attend_in_place`], which is told the places of the tokens.
    #[must_use]
    pub fn by_places() -> Self {
        Self { is_by_places: true, ..Self::of(None) }
    }

    /// Whether it is left to [`attend_in_place`] what a token sees.
    #[must_use]
    pub fn is_by_places(&self) -> bool {
        self.is_by_places
    }

    /// Hides from every query what comes after it, and everywhere the keys whose
    /// `attention_mask` is false.
    ///
    /// # Shapes
    /// - attention_mask: `[batch, seq]`, true where there is a token
    #[must_use]
    pub fn causal(seq: usize, attention_mask: Option<Tensor<2, Bool>>, device: &Device) -> Self {
        let Some(mask) = attention_mask else {
            let causal = Some((seq, device.clone()));
            return Self { made: OnceLock::new(), causal, is_by_places: false };
        };
        let [batch, keys] = mask.dims();
        let padding = Tensor::<2>::zeros([batch, keys], device).mask_fill(mask.bool_not(), HIDDEN);
        let (padding, shape) = (padding.reshape([batch, 1, 1, keys]), [batch, 1, seq, keys]);
        // Twice `HIDDEN` would be minus infinity: take the lower of the two, not the sum.
        Self::of(Some(match causal(&[0], seq, seq, device) {
            Some(causal) => causal.expand(shape).min_pair(padding.expand(shape)),
            None => padding,
        }))
    }

    fn of(bias: Option<Tensor<4>>) -> Self {
        Self { made: OnceLock::from(bias), causal: None, is_by_places: false }
    }

    /// Whether it hides from every token of a text what comes after it, and nothing else.
    #[must_use]
    pub fn is_causal(&self) -> bool {
        self.causal.is_some()
    }

    fn tensor(&self) -> Option<&Tensor<4>> {
        let make =
            || self.causal.as_ref().and_then(|(seq, device)| causal(&[0], *seq, *seq, device));
        self.made.get_or_init(make).as_ref()
    }

    /// Hides from query `i` of a row every key behind place `start + i`, where `starts` has one
    /// start for each row, or one for all. There is nothing to hide from a single query that
    /// stands last in every row.
    #[must_use]
    pub fn ragged(starts: &[usize], queries: usize, keys: usize, device: &Device) -> Self {
        Self::of(causal(starts, queries, keys, device))
    }
}

/// As [`AttentionBias::ragged`]; `None` where there is nothing to hide.
fn causal(starts: &[usize], queries: usize, keys: usize, device: &Device) -> Option<Tensor<4>> {
    if starts.iter().all(|start| start + 1 >= keys) {
        return None;
    }
    let hidden = |last: usize, key: usize| if key > last { HIDDEN } else { 0.0 };
    let values = starts
        .iter()
        .flat_map(|&start| start..start + queries)
        .flat_map(|last| (0..keys).map(move |key| hidden(last, key)))
        .collect::<Vec<f32>>();
    let shape = [starts.len(), 1, queries, keys];
    Some(Tensor::from_data(TensorData::new(values, shape), device))
}

/// What [`attention`] returns.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `[batch, head, queries, head_dim]`.
    pub output: Tensor<4>,
    /// Probabilities after dropout, `[batch, head, queries, keys]`.
    pub probabilities: Tensor<4>,
}

/// Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1).
///
/// Equals `eager_attention_forward` of `transformers`' GPT-2. For operands of less than 32 bits
/// only the two products are of their type: a factor that is no power of two has no exact form in
/// it, nor has the one of dropout, and a softmax sums many small numbers.
///
/// # Shapes
/// - query: `[batch, head, queries, head_dim]`
/// - key, value: `[batch, head, keys, head_dim]`
#[must_use]
pub fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: &AttentionBias,
    scale: AttentionScale,
    drop_probability: f64,
    masks: &mut DropoutMasks,
) -> Attended {
    let dtype = value.dtype();
    let scaled = |x: Tensor<4>| (x.cast(FloatDType::F32) * scale.factor).cast(dtype);
    let scores = match scale {
        AttentionScale { keys_first: true, .. } => query.matmul(scaled(key).swap_dims(2, 3)),
        AttentionScale { factor: 1.0, .. } => query.matmul(key.swap_dims(2, 3)),
        AttentionScale { .. } => scaled(query).matmul(key.swap_dims(2, 3)),
    };
    let scores = scores.cast(FloatDType::F32);
    let scores = match bias.tensor() {
        Some(bias) => scores + bias.clone(),
        None => scores,
    };
    let probabilities = dropout(softmax(scores, 3), drop_probability, masks).cast(dtype);
    Attended { output: probabilities.clone().matmul(value), probabilities }
}

/// The widest heads that the kernels of GPUs have room for; GPT-2's are of 64.
const MOST_HEAD_DIM: usize = 256;

/// Whether there are kernels for heads of a width where `x` is.
pub(super) fn takes_heads<const D: usize>(x: &Tensor<D>, head_dim: usize) -> bool {
    head_dim <= MOST_HEAD_DIM || !device::is_gpu(&x.device())
}

/// Whether [`attend_in_place`] takes tokens like `x`, `[rows, seq, any]`, of heads of a width.
#[must_use]
pub fn attends_in_place(x: &Tensor<3>, head_dim: usize) -> bool {
    !x.is_autodiff() && fused::is_ours(x) && takes_heads(x, head_dim)
}

/// Attention of tokens that follow what was read, without a copy, a mask or anything else
/// that grows with the length of the text. Equals [`attention`] behind the writes.
///
/// The tokens of row `r` go to `places[r]`, the others of the row are padding and give 0. Each sees
/// all places up to its own.
///
/// # Shapes
/// - qkv: `[rows, seq, 3 embd]`, query, key and value side by side
/// - keys, values: `[rows or more, head, capacity, head_dim]`
/// - output: `[rows, seq, embd]`
///
/// # Panics
/// For tokens that [`attends_in_place`] refuses.
#[must_use]
pub fn attend_in_place(
    qkv: Tensor<3>,
    keys: &mut Tensor<4>,
    values: &mut Tensor<4>,
    places: Vec<Range<usize>>,
    scale: AttentionScale,
) -> Tensor<3> {
    // `extract` leaves no second owner, so that the write does not copy the cache.
    let [old_keys, old_values] = [keys.extract(), values.extract()].map(Tensor::into_dispatch);
    let (output, new_keys, new_values) = <Dispatch as FusedOps>::attend_in_place(
        qkv.into_dispatch(),
        old_keys,
        old_values,
        places,
        scale.factor as f32,
    );
    *keys = Tensor::from_dispatch(new_keys);
    *values = Tensor::from_dispatch(new_values);
    Tensor::from_dispatch(output)
}
