//! Loss, perplexity and accuracy of a model over a data set.

use std::time::Instant;

use burn::tensor::Device;
use gpt2_core::{Error as CoreError, Gpt2, device};
use serde::Serialize;

use crate::data::{ClmBatch, Dataset, Example};
use crate::objective::clm_loss_and_hits;
use crate::{Result, parallel};

/// What an evaluation found; every number is weighted by token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean negative log-likelihood of a token, in nats.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// Share of tokens that were the likeliest.
    pub accuracy: f64,
    /// Number of tokens that were predicted.
    pub tokens: usize,
    /// Wall-clock time.
    pub seconds: f64,
}

/// Runs the model, without dropout, over all sequences in batches of `batch_size`.
///
/// `progress` is called after each batch with the number of sequences done so far, and can end
/// the evaluation with an error.
///
/// # Errors
/// [`gpt2_core::Error::Compute`] when the device fails; [`Error::Io`](crate::Error::Io) when the
/// data can no longer be read; what `progress` returns.
pub fn evaluate(
    model: &Gpt2,
    data: &Dataset,
    batch_size: usize,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Evaluation> {
    let mut sums = Sums::new(data);
    sums.add_all(model, data, batch_size, |done| progress(done).map(|()| true))?;
    Ok(sums.finish())
}

/// As [`evaluate`], but `None` when `go_on` has said no.
pub(crate) fn evaluate_while(
    model: &Gpt2,
    data: &Dataset,
    batch_size: usize,
    go_on: impl FnMut(usize) -> Result<bool>,
) -> Result<Option<Evaluation>> {
    let mut sums = Sums::new(data);
    let whole = sums.add_all(model, data, batch_size, go_on)?;
    Ok(whole.then(|| sums.finish()))
}

/// What is summed over the batches.
struct Sums {
    start: Instant,
    loss: f64,
    hits: i64,
    tokens: usize,
}

impl Sums {
    fn new(data: &Dataset) -> Self {
        Self { start: Instant::now(), loss: 0.0, hits: 0, tokens: data.scored() }
    }

    /// Says whether it went through to the end.
    fn add_all(
        &mut self,
        model: &Gpt2,
        data: &Dataset,
        batch_size: usize,
        mut go_on: impl FnMut(usize) -> Result<bool>,
    ) -> Result<bool> {
        let device = model.device();
        // Rows of like length share a batch, so that little is padded.
        let mut order: Vec<usize> = (0..data.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(data.length_of(index)));
        let mut done = 0;
        for batch in order.chunks(batch_size.max(1)) {
            let rows = batch.iter().map(|&row| data.example(row)).collect::<Result<Vec<_>>>()?;
            let rows: Vec<&Example> = rows.iter().map(AsRef::as_ref).collect();
            device::guarded(&device, || {
                let parts = parallel::parts(&rows, model)?;
                let work = |_, rows: &[&Example]| loss_and_hits(model, rows, &device);
                parallel::for_each(&parts, work, |(loss, hits)| {
                    self.loss += loss;
                    self.hits += hits;
                })
            })?;
            done += rows.len();
            if !go_on(done)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(self) -> Evaluation {
        let loss = self.loss / self.tokens as f64;
        Evaluation {
            loss,
            perplexity: loss.exp(),
            accuracy: self.hits as f64 / self.tokens as f64,
            tokens: self.tokens,
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }
}

/// Summed loss, and number of right guesses, over some rows.
fn loss_and_hits(model: &Gpt2, rows: &[&Example], device: &Device) -> Result<(f64, i64)> {
    let Some(batch) = ClmBatch::new(rows, device) else { return Ok((0.0, 0)) };
    let (loss, hits) = clm_loss_and_hits(model, &batch);
    let loss = loss.try_into_scalar::<f32>().map_err(CoreError::compute)?;
    Ok((f64::from(loss), hits.try_into_scalar::<i64>().map_err(CoreError::compute)?))
}
