//! Loss, perplexity and accuracy of a model over a data set.

use std::time::Instant;

use burn::tensor::Device;
use gpt2_core::{Error as CoreError, Gpt2};
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
/// [`gpt2_core::Error::Compute`] when the device fails; what `progress` returns.
pub fn evaluate(
    model: &Gpt2,
    data: &Dataset,
    batch_size: usize,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Evaluation> {
    let start = Instant::now();
    let device = model.device();
    // Rows of like length share a batch, so that little is padded.
    let mut rows: Vec<&Example> = data.examples().iter().collect();
    rows.sort_by_key(|example| std::cmp::Reverse(example.input_ids.len()));
    let (mut loss, mut hits, mut done) = (0.0, 0, 0);
    for rows in rows.chunks(batch_size.max(1)) {
        let parts = parallel::parts(rows, &device);
        for result in parallel::map(&parts, |_, rows| loss_and_hits(model, rows, &device)) {
            let (part_loss, part_hits) = result?;
            loss += part_loss;
            hits += part_hits;
        }
        done += rows.len();
        progress(done)?;
    }
    let tokens = data.scored();
    let loss = loss / tokens as f64;
    Ok(Evaluation {
        loss,
        perplexity: loss.exp(),
        accuracy: hits as f64 / tokens as f64,
        tokens,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Summed loss, and number of right guesses, over some rows.
fn loss_and_hits(model: &Gpt2, rows: &[&Example], device: &Device) -> Result<(f64, i64)> {
    let Some(batch) = ClmBatch::new(rows, device) else { return Ok((0.0, 0)) };
    let (loss, hits) = clm_loss_and_hits(model, &batch);
    let loss = loss.try_into_scalar::<f32>().map_err(CoreError::compute)?;
    Ok((f64::from(loss), hits.try_into_scalar::<i64>().map_err(CoreError::compute)?))
}
