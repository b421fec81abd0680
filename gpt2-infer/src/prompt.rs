//! What a prompt has to be before a model reads it.

use gpt2_core::Gpt2Config;

use crate::config::kept;
use crate::{Error, GenerationConfig, Result};

/// The prompt as it will be continued: checked, and cut where `truncate_prompt` says so.
///
/// # Errors
/// As [`prepare`] and [`check_length`].
pub(crate) fn to_continue(
    index: usize,
    prompt: &[u32],
    config: &GenerationConfig,
    model: &Gpt2Config,
) -> Result<Vec<u32>> {
    let mut ids = prepare(index, prompt, config.bos_token_id, model)?;
    if config.truncate_prompt {
        let kept = kept(config, ids.len(), model.n_positions);
        ids.drain(..ids.len() - kept);
    }
    check_length(index, ids.len(), model)?;
    Ok(ids)
}

/// The ids to start from: the prompt, or the begin-of-text token where it is empty, as in
/// `transformers`.
///
/// # Errors
/// [`Error::Prompt`] when it is empty and there is no such token, or an id is not in the
/// vocabulary.
pub(crate) fn prepare(
    index: usize,
    prompt: &[u32],
    bos_token_id: Option<u32>,
    model: &Gpt2Config,
) -> Result<Vec<u32>> {
    let ids = match (prompt, bos_token_id) {
        ([], Some(bos)) => vec![bos],
        ([], None) => {
            let expected = "at least one, since there is no bos_token_id to start from";
            return Err(Error::prompt(index, "no tokens", expected));
        }
        (ids, _) => ids.to_vec(),
    };
    match unknown_id(&ids, model) {
        Some([found, expected]) => Err(Error::prompt(index, found, expected)),
        None => Ok(ids),
    }
}

/// The first id that is not in the vocabulary, as what was found and what was expected.
pub(crate) fn unknown_id(ids: &[u32], model: &Gpt2Config) -> Option<[String; 2]> {
    let id = ids.iter().find(|&&id| id as usize >= model.vocab_size)?;
    Some([format!("token id {id}"), format!("ids less than vocab_size = {}", model.vocab_size)])
}

/// As [`prepare`], for a prompt that is read as a whole and not continued; an empty one becomes
/// the model's own begin-of-text token, if it has one.
///
/// # Errors
/// As [`prepare`], and [`Error::Prompt`] when the prompt is longer than the context.
pub(crate) fn prepare_whole(index: usize, prompt: &[u32], model: &Gpt2Config) -> Result<Vec<u32>> {
    // `Gpt2Config` fills in 50256 where the file is silent, also for a smaller vocabulary.
    let bos_token_id = model.bos_token_id.filter(|&id| (id as usize) < model.vocab_size);
    let ids = prepare(index, prompt, bos_token_id, model)?;
    check_length(index, ids.len(), model)?;
    Ok(ids)
}

/// Refuses a prompt that is longer than the context.
///
/// # Errors
/// [`Error::Prompt`].
pub(crate) fn check_length(index: usize, length: usize, model: &Gpt2Config) -> Result<()> {
    if length > model.n_positions {
        let expected = format!("at most n_positions = {}", model.n_positions);
        return Err(Error::prompt(index, format!("{length} tokens"), expected));
    }
    Ok(())
}
