//! Cutting token streams into sequences of equal length.

use gpt2_core::Gpt2Config;

use super::{Example, IGNORED};
use crate::{Error, Result};

/// The tokens of a block: `given`, or as many as the model's context has.
///
/// # Errors
/// [`Error::Option`] when there is nothing to predict in so short a block, or it does not fit the
/// context.
pub fn block_size(given: Option<usize>, config: &Gpt2Config) -> Result<usize> {
    let block_size = given.unwrap_or(config.n_positions);
    if block_size < 2 || block_size > config.n_positions {
        let expected = format!("2 to n_positions = {}", config.n_positions);
        return Err(Error::option("block_size", block_size, expected));
    }
    Ok(block_size)
}

/// Joins documents and cuts the stream into blocks of `block_size` tokens.
///
/// `separator`, usually the end-of-text token, stands between documents. The rest behind the last
/// whole block is dropped, as `run_clm` of `transformers` does; a stream that is shorter than one
/// block becomes one shorter block, so that little text is not no text.
///
/// # Panics
/// If `block_size` is 0; [`block_size`] has checked that.
#[must_use]
pub fn blocks(documents: &[Vec<u32>], separator: Option<u32>, block_size: usize) -> Vec<Example> {
    let stream = join(documents, separator);
    if stream.len() < block_size {
        return if stream.is_empty() { Vec::new() } else { vec![Example::new(stream)] };
    }
    stream.chunks_exact(block_size).map(|block| Example::new(block.to_vec())).collect()
}

/// One stream of all documents, with `separator` between them.
#[must_use]
pub fn join(documents: &[Vec<u32>], separator: Option<u32>) -> Vec<u32> {
    let mut stream = Vec::with_capacity(documents.iter().map(|ids| ids.len() + 1).sum());
    for (index, ids) in documents.iter().enumerate() {
        stream.extend(separator.filter(|_| index > 0));
        stream.extend_from_slice(ids);
    }
    stream
}

/// Overlapping windows of `block_size` tokens that move on by `stride`, each counting only the
/// tokens that no window before it has counted: every token but the first is scored once, with at
/// least `block_size - stride` tokens before it.
///
/// The windows are those of the perplexity guide of `transformers`.
#[must_use]
pub fn window_examples(ids: &[u32], block_size: usize, stride: usize) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut scored_to = 0;
    for begin in (0..ids.len()).step_by(stride.max(1)) {
        let end = (begin + block_size).min(ids.len());
        let label = |at: usize| if at < scored_to { IGNORED } else { i64::from(ids[at]) };
        examples.push(Example {
            input_ids: ids[begin..end].to_vec(),
            labels: Some((begin..end).map(label).collect()),
        });
        scored_to = end;
        if end == ids.len() {
            break;
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_and_the_rest_is_dropped() {
        let documents = [vec![1, 2, 3], vec![4, 5]];
        let ids = |examples: Vec<Example>| {
            examples.into_iter().map(|example| example.input_ids).collect::<Vec<_>>()
        };
        assert_eq!(ids(blocks(&documents, Some(0), 3)), [vec![1, 2, 3], vec![0, 4, 5]]);
        assert_eq!(ids(blocks(&documents, None, 2)), [vec![1, 2], vec![3, 4]]);
        assert_eq!(ids(blocks(&documents, None, 9)), [vec![1, 2, 3, 4, 5]]);
        assert!(blocks(&[], Some(0), 3).is_empty());
    }

    #[test]
    fn a_block_has_something_to_predict_and_fits_the_context() {
        let config = Gpt2Config { n_positions: 8, ..Gpt2Config::gpt2() };
        assert_eq!(block_size(None, &config).unwrap(), 8);
        assert_eq!(block_size(Some(2), &config).unwrap(), 2);
        for wrong in [0, 1, 9] {
            let message = block_size(Some(wrong), &config).unwrap_err().to_string();
            assert!(message.contains("`block_size`") && message.contains("2 to"), "{message}");
        }
    }

    #[test]
    fn windows_score_every_token_once() {
        let ids: Vec<u32> = (0..23).collect();
        for (block_size, stride) in [(8, 3), (8, 8), (30, 4), (5, 1)] {
            let mut targets = Vec::new();
            for example in window_examples(&ids, block_size, stride) {
                targets.extend((0..example.input_ids.len()).filter_map(|at| example.target(at)));
            }
            // A window that starts where the last one ended has no context for its first token.
            let first_of_each = |id: &u32| stride < block_size || !id.is_multiple_of(stride as u32);
            let expected: Vec<u32> = (1..23).filter(first_of_each).collect();
            assert_eq!(targets, expected, "block {block_size}, stride {stride}");
        }
    }
}
