//! The loss of a text.

use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config};

use super::log_probabilities;
use crate::prompt::unknown_id;
use crate::{Error, Result};

/// How well a model predicts a text.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TextLoss {
    /// Mean negative log-likelihood of a token, in nats.
    pub loss: f64,
    /// Tokens that were predicted: all but the first.
    pub tokens: usize,
}

impl TextLoss {
    /// `exp(loss)`: among how many equally likely tokens the model might as well have chosen.
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }

    fn of(log_probabilities: &[f64]) -> Self {
        let tokens = log_probabilities.len();
        Self { loss: -log_probabilities.iter().sum::<f64>() / tokens as f64, tokens }
    }
}

/// How a text that is longer than the context is cut into overlapping pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Tokens of a piece; at most the model's context.
    pub length: usize,
    /// Tokens from the beginning of one piece to that of the next; less than `length`. The
    /// smaller it is, the more every token has before it, and the longer it takes.
    pub stride: usize,
}

/// The loss of a text: mean negative log-likelihood of its tokens, each given those before it.
///
/// Equals `model(ids, labels=ids).loss` of `transformers`. The first token is not predicted.
/// Summed in double precision.
///
/// # Errors
/// [`Error::Text`] for fewer than two tokens, more than the context holds (see [`sliding_loss`]),
/// or an unknown id; [`Error::Core`] when the device fails.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let found = gpt2_infer::loss(&model, &[464, 2068, 7586, 21831])?;
/// println!("{} nats per token, perplexity {}", found.loss, found.perplexity());
/// # Ok(())
/// # }
/// ```
pub fn loss(model: &Gpt2, ids: &[u32]) -> Result<TextLoss> {
    let config = model.config();
    check(ids, config)?;
    if ids.len() > config.n_positions {
        let expected = format!("at most n_positions = {}, or a window", config.n_positions);
        return Err(Error::text(format!("{} tokens", ids.len()), expected));
    }
    Ok(TextLoss::of(&predicted(&model.valid(), ids, 1)?))
}

/// The loss of a text of any length: a window slides over it, and each token is predicted once,
/// with at least `length - stride` tokens before it as far as there are so many.
///
/// Equals the sliding window of `transformers`' guide to perplexity, each token weighing the same.
/// A text that fits the window has the same [`loss`].
///
/// # Errors
/// As [`loss`], for a text of any length, and [`Error::Option`] for a window that is longer than
/// the context, shorter than 2, or not longer than its stride.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// # let ids: Vec<u32> = vec![464; 5000];
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::{Window, sliding_loss};
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let found = sliding_loss(&model, &ids, Window { length: 1024, stride: 512 })?;
/// assert_eq!(found.tokens, ids.len() - 1);
/// # Ok(())
/// # }
/// ```
pub fn sliding_loss(model: &Gpt2, ids: &[u32], window: Window) -> Result<TextLoss> {
    let config = model.config();
    window.check(config)?;
    check(ids, config)?;
    let model = &model.valid();
    let mut found = Vec::with_capacity(ids.len() - 1);
    for begin in (0..ids.len()).step_by(window.stride) {
        let end = ids.len().min(begin + window.length);
        // All but the first token, up to the one before `done`, were predicted.
        let done = found.len() + 1;
        found.extend(predicted(model, &ids[begin..end], done - begin)?);
        if end == ids.len() {
            break;
        }
    }
    Ok(TextLoss::of(&found))
}

/// Log-probabilities of the tokens from `first` on, each given those before it.
fn predicted(model: &Gpt2, ids: &[u32], first: usize) -> Result<Vec<f64>> {
    let targets = &ids[first..];
    // The last token is predicted and not read.
    let read = ids[..ids.len() - 1].to_vec();
    let batch = Gpt2Batch::new(&[read], model.config(), &model.device())?;
    let hidden = model.hidden(&batch).narrow(1, first - 1, targets.len());
    let [_, seq, embd] = hidden.dims();
    log_probabilities(model, hidden.reshape([seq, embd]), targets)
}

fn check(ids: &[u32], config: &Gpt2Config) -> Result<()> {
    if ids.len() < 2 {
        let expected = "at least 2: the first is not predicted";
        return Err(Error::text(format!("{} tokens", ids.len()), expected));
    }
    match unknown_id(ids, config) {
        Some([found, expected]) => Err(Error::text(found, expected)),
        None => Ok(()),
    }
}

impl Window {
    fn check(self, config: &Gpt2Config) -> Result<()> {
        let Self { length, stride } = self;
        if !(2..=config.n_positions).contains(&length) {
            let expected = format!("2 to n_positions = {}", config.n_positions);
            return Err(Error::option("length", length, expected));
        }
        if stride == 0 || stride >= length {
            let expected = format!("1 to {}, less than the window's length", length - 1);
            return Err(Error::option("stride", stride, expected));
        }
        Ok(())
    }
}
