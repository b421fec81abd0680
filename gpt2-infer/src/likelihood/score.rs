//! Scores of continuations: which of them a model finds likeliest.

use burn::tensor::{Tensor, activation::log_softmax};
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, KvCache};

use super::{indices, log_probabilities, on_host};
use crate::{Error, Result, prompt};

/// Continuations that are read side by side.
const ROWS: usize = 16;

/// How likely a continuation is after its prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ContinuationScore {
    /// Log-probability of each of its tokens, given the prompt and the tokens before it, in nats.
    pub token_log_probabilities: Vec<f64>,
}

impl ContinuationScore {
    /// Log-probability of the whole continuation: the sum over its tokens.
    #[must_use]
    pub fn log_probability(&self) -> f64 {
        self.token_log_probabilities.iter().sum()
    }

    /// Mean log-probability of a token, by which continuations of different lengths compare.
    #[must_use]
    pub fn mean_log_probability(&self) -> f64 {
        self.log_probability() / self.token_log_probabilities.len() as f64
    }
}

/// Log-probabilities of several continuations of one prompt, in their order.
///
/// The prompt is read once, and the continuations in batches. Like a generated text, prompt and continuation together may be one
/// token longer than the context, since the last token is not read. An empty prompt becomes the
/// model's begin-of-text token.
///
/// # Errors
/// [`Error::Prompt`] for a prompt that is empty (and the model has no begin-of-text token), longer
/// than the context, or holds an unknown id; [`Error::Continuation`] for a continuation that is
/// empty, too long after the prompt, or holds an unknown id; [`Error::Core`] when the device
/// fails.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::score_continuations;
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let scores = score_continuations(&model, &[464, 2068], &[vec![7586, 21831], vec![3290]])?;
/// let better = scores[0].mean_log_probability() > scores[1].mean_log_probability();
/// # let _ = better;
/// # Ok(())
/// # }
/// ```
pub fn score_continuations(
    model: &Gpt2,
    prompt: &[u32],
    continuations: &[Vec<u32>],
) -> Result<Vec<ContinuationScore>> {
    let config = model.config();
    let prompt = prompt::prepare_whole(0, prompt, config)?;
    for (index, ids) in continuations.iter().enumerate() {
        check(index, ids, prompt.len(), config)?;
    }
    let Some(longest) = continuations.iter().map(Vec::len).max() else { return Ok(Vec::new()) };
    let model = &model.valid();
    let rows = continuations.len().min(ROWS);
    let mut cache = KvCache::new(config, rows, prompt.len() + longest - 1, &model.device())?;
    let text = Gpt2Batch::new(std::slice::from_ref(&prompt), config, &model.device())?;
    let hidden = model.hidden_cached(&text, &mut cache);

    // The first tokens all follow the same text.
    let first: Vec<u32> = continuations.iter().filter_map(|ids| ids.first().copied()).collect();
    let last = row(hidden, 0, prompt.len() - 1, 1);
    let after_prompt = log_softmax(model.head(last), 1); // [1, vocab]
    let first = on_host(after_prompt.select(1, indices(model, &first)))?;
    let mut found: Vec<Vec<f64>> = first.map(|first| vec![first]).collect();

    let long: Vec<usize> =
        (0..continuations.len()).filter(|&index| continuations[index].len() > 1).collect();
    for part in long.chunks(ROWS) {
        for row in 0..cache.rows() {
            cache.truncate(row, prompt.len());
        }
        cache.select(&vec![0; part.len()])?;
        let to_read = part.iter().map(|&index| &continuations[index]);
        let to_read: Vec<Vec<u32>> = to_read.map(|ids| ids[..ids.len() - 1].to_vec()).collect();
        let batch = Gpt2Batch::right_padded(&to_read, config, &model.device())?;
        let hidden = model.hidden_cached(&batch, &mut cache);
        for (place, &index) in part.iter().enumerate() {
            let targets = &continuations[index][1..];
            let hidden = row(hidden.clone(), place, 0, targets.len());
            found[index].extend(log_probabilities(model, hidden, targets)?);
        }
    }
    let score = |token_log_probabilities| ContinuationScore { token_log_probabilities };
    Ok(found.into_iter().map(score).collect())
}

/// Some hidden states of one row, `[count, embd]`.
fn row(hidden: Tensor<3>, row: usize, start: usize, count: usize) -> Tensor<2> {
    let embd = hidden.dims()[2];
    hidden.slice([row..row + 1, start..start + count]).reshape([count, embd])
}

fn check(index: usize, ids: &[u32], before: usize, config: &Gpt2Config) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::continuation(index, "no tokens", "at least one"));
    }
    let room = config.n_positions + 1 - before;
    if ids.len() > room {
        let found = format!("{} tokens", ids.len());
        let expected = format!(
            "at most {room} after the {before} tokens of the prompt: n_positions = {}, and the \
             last token is not read",
            config.n_positions
        );
        return Err(Error::continuation(index, found, expected));
    }
    match prompt::unknown_id(ids, config) {
        Some([found, expected]) => Err(Error::continuation(index, found, expected)),
        None => Ok(()),
    }
}
