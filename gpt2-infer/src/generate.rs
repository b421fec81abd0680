//! Continues prompts: greedily, or by drawing each token.

use std::collections::HashMap;
use std::ops::ControlFlow;

use burn::module::Module;
use gpt2_core::Gpt2;

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::prompt;
use crate::reader::Reader;
use crate::row::{Row, Sequence, Token};
use crate::sample::Sampler;
use crate::{GenerationConfig, Result};

/// Continues each prompt, as `num_return_sequences` sequences.
///
/// Equals `transformers`' `generate` with the same options, up to the random draws. Prompts of
/// different lengths are read in one batch, and each gives what it gives alone: lengths count, and
/// penalties see, a row's own tokens and no padding (`transformers` counts padding as length, and
/// its n-grams see it). One seed gives one result on every run of the same build and device, and
/// the draws of a prompt do not depend on the other prompts of the batch.
///
/// An empty prompt becomes `bos_token_id`. A text may be one token longer than the model's
/// context, since the last token is not read; where `transformers` fails with an index error
/// while it generates, options that lead beyond that are refused before anything is computed.
///
/// Every sequence of a prompt reads the prompt itself, and a finished sequence keeps its place in
/// the batch until all are finished or the place is needed.
///
/// A model on a training device is used without dropout and without gradients.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) naming an option that is out of range, contradicts
/// another one, or does not fit the prompt or the model; [`Error::Prompt`](crate::Error::Prompt)
/// for a prompt that is empty (without `bos_token_id`), too long, or holds an unknown id;
/// [`Error::NoToken`](crate::Error::NoToken) when options exclude every token or the model's scores
/// are not finite; [`Error::Core`](crate::Error::Core) when the device fails.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{Gpt2, Gpt2Config, device};
/// use gpt2_infer::{GenerationConfig, generate};
///
/// let model = Gpt2::init(&Gpt2Config::gpt2(), 1, &device::best()?)?;
/// let config = GenerationConfig { max_new_tokens: Some(5), ..GenerationConfig::default() };
/// let sequences = generate(&model, &[vec![464, 2068], vec![15496]], &config)?;
/// assert_eq!(sequences[1][0].continuation().len(), 5);
/// # Ok(())
/// # }
/// ```
pub fn generate(
    model: &Gpt2,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Vec<Sequence>>> {
    generate_with(model, prompts, config, |_| ControlFlow::Continue(()))
}

/// As [`generate`], and hands every token to `on_token` as soon as it is chosen.
///
/// When `on_token` returns [`ControlFlow::Break`], generation ends there; sequences that were not
/// finished have [`FinishReason::Cancelled`](crate::FinishReason::Cancelled).
///
/// # Errors
/// As [`generate`].
pub fn generate_with(
    model: &Gpt2,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    mut on_token: impl FnMut(Token) -> ControlFlow<()>,
) -> Result<Vec<Vec<Sequence>>> {
    config.validate(model.config())?;
    let mut rows = plan(model, prompts, config)?;
    // Without dropout and gradients, should the model be in training.
    let model = &model.valid();
    let mut reader = Reader::new(model, config.use_cache);
    'steps: while rows.iter().any(Row::is_live) {
        let mut scores = reader.scores(&rows)?;
        let live = rows.iter_mut().filter(|row| row.is_live());
        for (row, scores) in live.zip(scores.chunks_exact_mut(model.config().vocab_size)) {
            let token = row.step(scores, &config.eos_token_id)?;
            if on_token(token).is_break() {
                break 'steps;
            }
        }
    }
    Ok(collect(rows, prompts.len()))
}

/// The rows of all prompts, checked, each with processors and a sampler of its own.
fn plan(model: &Gpt2, prompts: &[Vec<u32>], config: &GenerationConfig) -> Result<Vec<Row>> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let mut streams = Streams::default();
    let mut rows = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let ids = prompt::prepare(index, prompt, config.bos_token_id, model.config())?;
        let lengths = Lengths::new(config, index, ids.len(), model.config().n_positions)?;
        for sequence in 0..config.num_return_sequences {
            rows.push(Row {
                prompt: index,
                sequence,
                ids: ids.clone(),
                lengths,
                processors: LogitsProcessors::from_config(config, ids.len(), lengths.end)?,
                sampler: match config.do_sample {
                    true => Sampler::multinomial(seed, streams.next(&ids)),
                    false => Sampler::greedy(),
                },
                finish_reason: None,
            });
        }
    }
    Ok(rows)
}

/// Numbers of random streams that depend on the prompt and not on its place in the batch.
#[derive(Debug, Default)]
struct Streams(HashMap<u64, u64>);

impl Streams {
    /// The next stream of this prompt.
    fn next(&mut self, ids: &[u32]) -> u64 {
        let hash = fnv(ids);
        let used = self.0.entry(hash).or_default();
        let stream = hash.wrapping_add(*used);
        *used += 1;
        stream
    }
}

/// 64-bit FNV-1a hash of the ids' little-endian bytes: the same on every platform and in every
/// version, which the standard library's hash does not promise.
fn fnv(ids: &[u32]) -> u64 {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Finished rows by prompt.
fn collect(rows: Vec<Row>, prompts: usize) -> Vec<Vec<Sequence>> {
    let mut sequences: Vec<Vec<Sequence>> = (0..prompts).map(|_| Vec::new()).collect();
    for row in rows {
        let prompt = row.prompt;
        sequences[prompt].push(row.finish());
    }
    sequences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_its_own_streams_wherever_it_stands() {
        let (one, two) = ([1, 2], [1, 3]);
        let mut alone = Streams::default();
        let expected = [alone.next(&two), alone.next(&two)];
        let mut mixed = Streams::default();
        mixed.next(&one);
        let first = mixed.next(&two);
        mixed.next(&one);
        assert_eq!([first, mixed.next(&two)], expected);
        assert_ne!(expected[0], expected[1]);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The value that the hash's authors publish for "foob".
        assert_eq!(fnv(&[u32::from_le_bytes(*b"foob")]), 0xdd12_0e79_0c25_12af);
    }
}
