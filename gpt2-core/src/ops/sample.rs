//! The choice of the next token where the logits are.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};

use super::fused;
#[cfg(feature = "cube")]
use super::shapes;
use crate::Result;
use crate::device::{self, Readback};

/// What is told instead of an id: no id is below 0.
#[cfg(feature = "cube")]
pub(super) const NOT_FINITE: i32 = -1;
pub(super) const EXCLUDED_ALL: i32 = -2;

/// What shapes the distribution that a token is drawn from, in the order in which it is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// What logits are divided by; a normal number above 0.
    pub temperature: f32,
    /// How many of the highest logits are kept, and all that equal the last of them; at least 1.
    pub top_k: Option<usize>,
    /// The most likely tokens are kept until their probabilities reach this sum; above 0 and below 1. The one that
    /// reaches it is kept, and of equally likely ones those with the highest ids.
    pub top_p: Option<f64>,
}

impl Default for SampleOptions {
    /// The distribution of the model.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None }
    }
}

/// Tokens that were chosen, one for each row of logits.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Ids of the vocabulary, `[rows]`, for the next pass; of a row that leaves nothing to choose some id.
    pub ids: Tensor<1, Int>,
    told: Tensor<1, Int>,
}

/// Why nothing can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChoice {
    /// A logit is NaN or plus infinity.
    NotFinite,
    /// All are minus infinity.
    AllExcluded,
}

/// The operations, on tensors as a backend holds them. Nothing is recorded.
///
/// Both give ids for the next pass, and what to tell the host.
#[backend_extension(Cube: cfg(feature = "cube"), Fusion: cfg(feature = "cube"))]
pub trait SampleOps: Backend {
    /// The lowest id of the highest logit.
    #[fusion(meta = shapes::of_greedy)]
    fn greedy(logits: FloatTensor<Self>) -> (IntTensor<Self>, IntTensor<Self>);

    /// A draw.
    #[fusion(meta = shapes::of_sample)]
    fn sample(
        logits: FloatTensor<Self>,
        numbers: FloatTensor<Self>,
        options: SampleOptions,
    ) -> (IntTensor<Self>, IntTensor<Self>);
}

/// Whether tokens can be chosen on the device of these logits: on a GPU, without gradients.
#[must_use]
pub fn takes_choices<const D: usize>(logits: &Tensor<D>) -> bool {
    fused::is_ours(logits) && device::is_gpu(&logits.device()) && !logits.is_autodiff()
}

/// The token with the highest logit of each row, the one with the lowest id where several have it.
///
/// # Shapes
/// - logits: `[rows, vocab]`
///
/// # Panics
/// If [`takes_choices`] says no.
#[must_use]
pub fn choose_highest(logits: Tensor<2>) -> Chosen {
    Chosen::of(<Dispatch as SampleOps>::greedy(logits.into_dispatch()))
}

/// A token of each row, drawn with the probabilities that the options leave of `softmax(logits)`.
///
/// `numbers` has a number in `[0, 1)` for each row: the token is the first one, in the order of ids, with which the sum of
/// the probabilities that are kept is above that part of it. A row gives the same id each time, whatever
/// stands beside it. Probabilities are computed in `f32` and added as multiples of `2^-31`; a token with less than half of
/// that is never drawn.
///
/// # Panics
/// If [`takes_choices`] says no, or there is not a number for each row.
#[must_use]
pub fn choose_sampled(logits: Tensor<2>, numbers: Vec<f32>, options: SampleOptions) -> Chosen {
    let [rows, _] = logits.dims();
    assert_eq!(numbers.len(), rows, "there must be a number for each row");
    let numbers = Tensor::<1>::from_data(TensorData::new(numbers, [rows]), &logits.device());
    let (logits, numbers) = (logits.into_dispatch(), numbers.into_dispatch());
    Chosen::of(<Dispatch as SampleOps>::sample(logits, numbers, options))
}

impl Chosen {
    fn of((ids, told): (IntTensor<Dispatch>, IntTensor<Dispatch>)) -> Self {
        Self { ids: Tensor::from_dispatch(ids), told: Tensor::from_dispatch(told) }
    }

    /// Asks for the ids, and whether there are any.
    #[must_use]
    pub fn read(&self) -> ChosenIds {
        ChosenIds(Readback::of_ints(self.told.clone()))
    }
}

/// Ids on their way from the device.
#[derive(Debug)]
pub struct ChosenIds(Readback);

impl ChosenIds {
    /// Waits until they have arrived, and keeps them.
    pub fn arrive(&mut self) {
        self.0.arrive();
    }

    /// Waits for them: the id of every row, or why it has none.
    ///
    /// # Errors
    /// [`Error::Compute`](crate::Error::Compute) when the device fails.
    pub fn wait(self) -> Result<Vec<Result<u32, NoChoice>>> {
        let told = self.0.wait()?;
        Ok(told.iter::<i32>().map(choice).collect())
    }
}

fn choice(told: i32) -> Result<u32, NoChoice> {
    u32::try_from(told).map_err(|_| match told {
        EXCLUDED_ALL => NoChoice::AllExcluded,
        _ => NoChoice::NotFinite,
    })
}
