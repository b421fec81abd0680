//! What a prompt has to be before a model reads it.

use gpt2_core::Gpt2Config;

use crate::{Error, Result};

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
