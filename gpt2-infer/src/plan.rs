//! What is to be generated, checked before anything is computed, and cut into groups that fit the
//! memory.

use std::collections::HashMap;
use std::ops::Range;

use gpt2_core::Gpt2Config;

use crate::config::Lengths;
use crate::logits::LogitsProcessors;
use crate::row::Row;
use crate::sample::Sampler;
use crate::stop::StopMatcher;
use crate::window::readable;
use crate::{Error, GenerationConfig, Generator, Result, prompt};

/// Bytes beyond which beams, which cannot follow one another, are refused.
const MOST_BYTES: u64 = 16 << 30;

/// Sequences that are to be generated, one prompt behind the other.
#[derive(Debug)]
pub(crate) struct Plan {
    prompts: Vec<Prompt>,
    sequences: usize,
    do_sample: bool,
    log_probs: bool,
    seed: u64,
    /// How many rows are computed side by side.
    at_once: usize,
}

/// A prompt, and what its sequences have in common.
#[derive(Debug)]
struct Prompt {
    ids: Vec<u32>,
    lengths: Lengths,
    processors: LogitsProcessors,
    stop: Option<StopMatcher>,
    /// Stream of the first sequence's random draws; the others' follow.
    stream: u64,
}

impl Plan {
    /// Plans `sequences` sequences for each prompt.
    ///
    /// # Errors
    /// As [`Generator::generate`].
    pub fn new(
        generator: &Generator,
        prompts: &[Vec<u32>],
        config: &GenerationConfig,
        sequences: usize,
    ) -> Result<Self> {
        let model = generator.model.config();
        config.validate(model)?;
        let mut streams = Streams::default();
        let mut planned = Vec::with_capacity(prompts.len());
        for (index, given) in prompts.iter().enumerate() {
            let ids = prompt::to_continue(index, given, config, model)?;
            let lengths = Lengths::new(config, index, ids.len(), model.n_positions)?;
            planned.push(Prompt {
                lengths,
                processors: LogitsProcessors::from_config_with(
                    config,
                    ids.len(),
                    lengths.end,
                    generator.prefix_allowed_tokens.clone(),
                    generator.processors.clone(),
                )?,
                stop: StopMatcher::new(config, generator.tokenizer.as_ref(), &ids)?,
                stream: streams.take(&ids, sequences),
                ids,
            });
        }
        Ok(Self {
            at_once: rows_at_once(generator, config, &planned, sequences)?,
            prompts: planned,
            sequences,
            do_sample: config.do_sample,
            log_probs: config.log_probs,
            seed: config.seed.unwrap_or_else(rand::random),
        })
    }

    /// Number of sequences of all prompts.
    pub fn len(&self) -> usize {
        self.prompts.len() * self.sequences
    }

    /// Numbers of the rows of each group, in their order.
    pub fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let len = self.len();
        (0..len).step_by(self.at_once).map(move |start| start..len.min(start + self.at_once))
    }

    /// The rows with these numbers, each with processors and random draws of its own.
    pub fn rows(&self, numbers: Range<usize>) -> Vec<Row> {
        let row = |number: usize| {
            let (index, sequence) = (number / self.sequences, number % self.sequences);
            let prompt = &self.prompts[index];
            let stream = prompt.stream.wrapping_add(sequence as u64);
            Row {
                prompt: index,
                sequence,
                ids: with_room(&prompt.ids, prompt.lengths),
                start: 0,
                lengths: prompt.lengths,
                processors: prompt.processors.clone(),
                sampler: match self.do_sample {
                    true => Sampler::multinomial(self.seed, stream),
                    false => Sampler::greedy(),
                },
                stop: prompt.stop.clone(),
                log_probs: self.log_probs.then(Vec::new),
                finish_reason: None,
            }
        };
        numbers.map(row).collect()
    }
}

/// How many rows fit the memory side by side, each as often as there are beams; one in any case.
///
/// # Errors
/// [`Error::Option`] when there are more beams than any machine holds.
fn rows_at_once(
    generator: &Generator,
    config: &GenerationConfig,
    prompts: &[Prompt],
    sequences: usize,
) -> Result<usize> {
    let longest = prompts.iter().map(|prompt| prompt.lengths.end).max().unwrap_or(1);
    let mut row = row_bytes(generator.model.config(), longest, 1 + guesses(generator, config));
    if let Some(draft) = &generator.draft_model {
        row = row.saturating_add(row_bytes(draft.config(), longest, 1));
    }
    let most = (MOST_BYTES / row).max(1);
    let beams = config.num_beams as u64;
    if beams > most {
        let expected = format!(
            "at most {most}: each beam of a text of {longest} tokens takes {row} bytes of memory"
        );
        return Err(Error::option("num_beams", beams, expected));
    }
    let prompt = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(1);
    // A prompt is read once for all its sequences.
    let reading = reading_bytes(generator.model.config(), prompt) / sequences as u64;
    let rows = generator.memory_limit as u64 / row.saturating_mul(beams).saturating_add(reading);
    Ok(usize::try_from(rows).unwrap_or(usize::MAX).max(1))
}

/// The most tokens that are guessed at a time.
fn guesses(generator: &Generator, config: &GenerationConfig) -> usize {
    match (&generator.draft_model, config.prompt_lookup_num_tokens) {
        (Some(_), _) => config.num_assistant_tokens,
        (None, tokens) => tokens.unwrap_or_default(),
    }
    .min(generator.model.config().n_positions)
}

/// Bytes of a sequence of up to `longest` tokens that is scored at `positions` positions at a time:
/// its keys and values; scores, what is made of them, and a copy.
fn row_bytes(model: &Gpt2Config, longest: usize, positions: usize) -> u64 {
    let read = readable(longest, model.n_positions);
    let cache = bytes(&[2, model.n_layer, model.n_embd, read]);
    cache.saturating_add(bytes(&[3, model.vocab_size, positions])).max(1)
}

/// Bytes that come and go while a prompt is read: the scores of attention, three times.
fn reading_bytes(model: &Gpt2Config, prompt: usize) -> u64 {
    bytes(&[3, model.n_head, prompt, prompt])
}

/// Bytes of numbers in so many rows, columns and so on.
fn bytes(extents: &[usize]) -> u64 {
    let float = size_of::<f32>() as u64;
    extents.iter().fold(float, |bytes, &extent| bytes.saturating_mul(extent as u64))
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
    /// The next `count` streams of this prompt; the first of them.
    fn take(&mut self, ids: &[u32], count: usize) -> u64 {
        let hash = fnv(ids);
        let used = self.0.entry(hash).or_default();
        let stream = hash.wrapping_add(*used);
        *used += count as u64;
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
        let expected = [alone.take(&two, 2), alone.take(&two, 1)];
        let mut mixed = Streams::default();
        mixed.take(&one, 1);
        let first = mixed.take(&two, 2);
        mixed.take(&one, 3);
        assert_eq!([first, mixed.take(&two, 1)], expected);
        assert_eq!(expected[1], expected[0].wrapping_add(2));
    }

    #[test]
    fn what_a_row_takes_is_counted() {
        let model = Gpt2Config::gpt2();
        // Keys and values of 1024 tokens in 12 layers of width 768, and three times the scores.
        let row = 2 * 12 * 768 * 1024 * 4 + 3 * 50257 * 4;
        assert_eq!(row_bytes(&model, 1025, 1), row);
        // The window slides: no more is kept.
        assert_eq!(row_bytes(&model, 1 << 30, 1), row);
        assert_eq!(row_bytes(&model, 1025, 5), row + 4 * 3 * 50257 * 4);
        assert_eq!(reading_bytes(&model, 1000), 3 * 12 * 1000 * 1000 * 4);
        assert_eq!(bytes(&[usize::MAX, usize::MAX]), u64::MAX);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The value that the hash's authors publish for "foob".
        assert_eq!(fnv(&[u32::from_le_bytes(*b"foob")]), 0xdd12_0e79_0c25_12af);
    }
}
