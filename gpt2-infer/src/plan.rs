//! The rows of a generation, checked and ready to grow.

use std::collections::HashMap;

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::row::Row;
use crate::sample::Sampler;
use crate::stop::StopMatcher;
use crate::{GenerationConfig, Generator, Result, prompt};

/// The rows of all prompts, `sequences` of each, one prompt behind the other; each has processors and
/// random draws of its own.
///
/// # Errors
/// As [`Generator::generate`].
pub(crate) fn rows(
    generator: &Generator,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    sequences: usize,
) -> Result<Vec<Row>> {
    let model = generator.model.config();
    config.validate(model)?;
    let seed = config.seed.unwrap_or_else(rand::random);
    let mut streams = Streams::default();
    let mut rows = Vec::new();
    for (index, given) in prompts.iter().enumerate() {
        let ids = prompt::to_continue(index, given, config, model)?;
        let lengths = Lengths::new(config, index, ids.len(), model.n_positions)?;
        let stop = StopMatcher::new(config, generator.tokenizer.as_ref(), &ids)?;
        let processors = LogitsProcessors::from_config_with(
            config,
            ids.len(),
            lengths.end,
            generator.prefix_allowed_tokens.clone(),
            generator.processors.clone(),
        )?;
        for sequence in 0..sequences {
            let sampler = match config.do_sample {
                true => Sampler::multinomial(seed, streams.next(&ids)),
                false => Sampler::greedy(),
            };
            rows.push(Row {
                prompt: index,
                sequence,
                ids: with_room(&ids, lengths),
                start: 0,
                lengths,
                processors: processors.clone(),
                sampler,
                stop: stop.clone(),
                log_probs: config.log_probs.then(Vec::new),
                finish_reason: None,
            });
        }
    }
    Ok(rows)
}

/// The ids, in memory that holds what a text of usual length will become.
pub(crate) fn with_room(ids: &[u32], lengths: Lengths) -> Vec<u32> {
    const USUAL: usize = 1 << 16;
    let mut roomy = Vec::with_capacity(lengths.end.min(ids.len() + USUAL));
    roomy.extend_from_slice(ids);
    roomy
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
