//! The most likely next tokens.

use gpt2_core::Gpt2;

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::pool::CachePool;
use crate::probability::{Softmax, has_nan, log_softmax, weight};
use crate::reader::{Reader, Text};
use crate::row::no_token;
use crate::sample::highest;
use crate::{Error, GenerationConfig, Result, prompt};

/// A token that can come next.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Its probability, of all tokens of the vocabulary.
    pub probability: f64,
}

/// The `top` most likely tokens after a prompt, the likeliest first; lower ids first where they
/// are equally likely.
///
/// With `processed` the probabilities are those after the processors of these options
/// ([`LogitsProcessors::from_config`]), which include temperature, top-k and top-p only with
/// `do_sample`; tokens that they exclude are left out, so there can be fewer than `top`. The token
/// is the first of a generation with this prompt, where that counts. An empty prompt becomes the
/// begin-of-text token of the options, or of the model without options.
///
/// # Errors
/// [`Error::Option`] when `top` is 0 or an option is out of range, [`Error::Prompt`] for a prompt
/// that is empty (without such a token), longer than the context, or holds an unknown id,
/// [`Error::NoToken`] when the model's scores are not finite or no token is left,
/// [`Error::Core`] when the device fails.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::next_tokens;
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// for candidate in next_tokens(&model, &[464, 2068], 5, None)? {
///     println!("{} {:.3}", candidate.id, candidate.probability);
/// }
/// # Ok(())
/// # }
/// ```
pub fn next_tokens(
    model: &Gpt2,
    prompt_ids: &[u32],
    top: usize,
    processed: Option<&GenerationConfig>,
) -> Result<Vec<Candidate>> {
    if top == 0 {
        return Err(Error::option("top", top, "at least 1"));
    }
    let model_config = model.config();
    let ids = match processed {
        Some(config) => {
            config.validate(model_config)?;
            let ids = prompt::prepare(0, prompt_ids, config.bos_token_id, model_config)?;
            prompt::check_length(0, ids.len(), model_config)?;
            ids
        }
        None => prompt::prepare_whole(0, prompt_ids, model_config)?,
    };
    // A single reading has no use for a cache.
    let mut reader = Reader::new(&model.valid(), &CachePool::default(), false, 1, ids.len())?;
    let mut scores = reader.scores(&[Text { visible: &ids, guessed: &[] }])?;
    if let Some(config) = processed {
        // Where nothing could be generated, there is no end at which a token is forced.
        let lengths = Lengths::new(config, 0, ids.len(), model_config.n_positions);
        let max_length = lengths.map_or(usize::MAX, |lengths| lengths.end);
        let mut processors = LogitsProcessors::from_config(config, ids.len(), max_length)?;
        if config.num_beams > 1 {
            log_softmax(&mut scores);
        }
        processors.process(&ids, &mut scores);
    }
    most_likely(&scores, top, ids.len())
}

fn most_likely(scores: &[f32], top: usize, length: usize) -> Result<Vec<Candidate>> {
    let Softmax { largest: best, total, .. } = Softmax::of(scores);
    if has_nan(scores) || !best.is_finite() {
        return Err(no_token(scores, length));
    }
    let candidate = |id| {
        let probability = weight(scores[id as usize], best) / total;
        Candidate { id, probability }
    };
    Ok(highest(scores, top).into_iter().map(candidate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first_and_probabilities_are_of_the_whole_vocabulary() {
        let scores = [0.0, (2f32).ln(), f32::NEG_INFINITY, 0.0];
        let list = most_likely(&scores, 2, 1).unwrap();
        assert_eq!(list.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), [1, 0]);
        assert!((list[0].probability - 0.5).abs() < 1e-7);
        assert!((list[1].probability - 0.25).abs() < 1e-7);
        assert_eq!(most_likely(&scores, 9, 1).unwrap().len(), 3);
    }

    #[test]
    fn scores_without_a_candidate_are_an_error() {
        for scores in [[f32::NAN, 0.0], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            assert!(matches!(most_likely(&scores, 1, 1), Err(Error::NoToken { .. })));
        }
    }
}
