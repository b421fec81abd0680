//! What a prompt has to be before a model reads it.

use gpt2_core::Gpt2Config;

use crate::config::kept;
use crate::{Error, GenerationConfig, Result};

/// The prompt as it will be continued: checked, and cut where `truncate_prompt` says so.
///
/// # Errors
/// As [`prepare`].
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
    match ids.iter().find(|&&id| id as usize >= model.vocab_size) {
        Some(id) => {
            let expected = format!("ids less than vocab_size = {}", model.vocab_size);
            Err(Error::prompt(index, format!("token id {id}"), expected))
        }
        None => Ok(ids),
    }
}
