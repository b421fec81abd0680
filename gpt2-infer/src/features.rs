//! Hidden states of prompts, as features for other programs.

use std::cmp::Reverse;

use burn::tensor::{Int, Tensor, TensorData};
use gpt2_core::{Error as CoreError, Gpt2, Gpt2Batch};

use crate::{Error, Result, prompt};

/// Tokens, padding included, that are computed at once.
const BATCH_TOKENS: usize = 2048;

/// How the features of the tokens become those of the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// They do not: one row for each token.
    #[default]
    None,
    /// One row, the mean over the tokens.
    Mean,
    /// One row, that of the last token: the only one that has seen the whole prompt.
    Last,
}

/// Which features are extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureOptions {
    /// Which of the `n_layer + 1` hidden states, as a Python index: 0 is the embeddings, -1 the
    /// last one, after `ln_f`.
    pub layer: isize,
    /// One row for each token, or one for the prompt.
    pub pooling: Pooling,
}

impl Default for FeatureOptions {
    /// The last hidden state, one row for each token, as Hugging Face's feature-extraction
    /// pipeline returns it.
    fn default() -> Self {
        Self { layer: -1, pooling: Pooling::None }
    }
}

/// The features of one prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Features {
    /// The tokens that were read; the begin-of-text token where the prompt is empty.
    pub ids: Vec<u32>,
    /// `[tokens, embd]`, or `[1, embd]` where they are pooled.
    pub rows: Vec<Vec<f32>>,
}

/// The hidden states of each prompt, without the work of a head or of layers that are not asked
/// for.
///
/// Equals `hidden_states[layer]` of `transformers`' `GPT2Model`. Prompts of any lengths are
/// computed in batches, and each gives what it gives alone: padding is neither seen nor part of a
/// mean. Means are taken in double precision.
///
/// A model on a training device is used without dropout and without gradients.
///
/// # Errors
/// [`Error::Option`] when there is no such layer, [`Error::Prompt`] for a prompt that is empty
/// (and the model has no begin-of-text token), longer than the context, or holds an unknown id,
/// [`Error::Core`] when the device fails.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::{FeatureOptions, Pooling, features};
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let options = FeatureOptions { pooling: Pooling::Mean, ..FeatureOptions::default() };
/// let found = features(&model, &[vec![464, 2068], vec![15496]], &options)?;
/// assert_eq!(found[1].rows.len(), 1);
/// assert_eq!(found[1].rows[0].len(), 768);
/// # Ok(())
/// # }
/// ```
pub fn features(
    model: &Gpt2,
    prompts: &[Vec<u32>],
    options: &FeatureOptions,
) -> Result<Vec<Features>> {
    let config = model.config();
    let layer = resolve(options.layer, config.n_layer + 1)?;
    let mut found = (0..)
        .zip(prompts)
        .map(|(index, prompt)| {
            let ids = prompt::prepare_whole(index, prompt, config)?;
            Ok(Features { ids, rows: Vec::new() })
        })
        .collect::<Result<Vec<_>>>()?;
    let model = &model.valid();
    // Rows of like length share a batch, so that little is padded.
    let mut rows: Vec<&mut Features> = found.iter_mut().collect();
    rows.sort_by_key(|row| Reverse(row.ids.len()));
    let mut rest = rows.as_mut_slice();
    while let Some(longest) = rest.first() {
        let count = (BATCH_TOKENS / longest.ids.len()).clamp(1, rest.len());
        let (batch, others) = rest.split_at_mut(count);
        extract(model, batch, layer, options.pooling)?;
        rest = others;
    }
    Ok(found)
}

/// A Python index into `count` hidden states.
fn resolve(layer: isize, count: usize) -> Result<usize> {
    let from_end = || count.checked_sub(layer.unsigned_abs());
    let index = if layer < 0 { from_end() } else { Some(layer.unsigned_abs()) };
    index.filter(|&index| index < count).ok_or_else(|| {
        let last = count - 1;
        let expected = format!("-{count} to {last}: the model has n_layer = {last}");
        Error::option("layer", layer, expected)
    })
}

/// Fills in the features of a few prompts, the longest first.
fn extract(
    model: &Gpt2,
    batch: &mut [&mut Features],
    layer: usize,
    pooling: Pooling,
) -> Result<()> {
    let device = model.device();
    // Padding behind a text is invisible to it, so there is no need to mask it out.
    let ids: Vec<Vec<u32>> = batch.iter().map(|row| row.ids.clone()).collect();
    let input = Gpt2Batch::right_padded(&ids, model.config(), &device)?;
    let hidden = model.hidden_state(&input, layer); // [batch, width, embd]
    let [count, width, embd] = hidden.dims();

    let first = |row: &Features| if pooling == Pooling::Last { row.ids.len() - 1 } else { 0 };
    let wanted: Vec<i32> = (0..)
        .zip(batch.iter())
        .flat_map(|(at, row)| (first(row)..row.ids.len()).map(move |i| (at * width + i) as i32))
        .collect();
    let wanted = Tensor::<1, Int>::from_data(TensorData::from(wanted.as_slice()), &device);
    let values = hidden.reshape([count * width, embd]).select(0, wanted);
    let values = values.try_into_vec_as::<f32>().map_err(CoreError::compute)?;
    let mut values = values.chunks_exact(embd);
    for row in batch {
        let count = row.ids.len() - first(row);
        let own = values.by_ref().take(count);
        row.rows = match pooling {
            Pooling::Mean => vec![mean(own, embd)],
            _ => own.map(<[f32]>::to_vec).collect(),
        };
    }
    Ok(())
}

/// The mean of some rows.
fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, embd: usize) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0.0f64; embd], 0.0);
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1.0;
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_from_either_end() {
        let of = |layer| resolve(layer, 3).ok();
        assert_eq!([-3, -2, -1, 0, 1, 2].map(of), [0, 1, 2, 0, 1, 2].map(Some));
        assert_eq!([-4, 3, isize::MIN, isize::MAX].map(of), [None; 4]);
    }
}
