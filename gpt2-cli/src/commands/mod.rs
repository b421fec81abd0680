//! One command a file.

pub mod bench;
mod clean;
pub mod convert;
mod corpus;
pub mod data;
pub mod devices;
pub mod eval;
pub mod features;
pub mod forward;
pub mod generate;
mod generation;
pub mod info;
mod lines;
mod load;
pub mod lr_find;
pub mod next;
mod prompts;
mod recipe;
mod start;
mod tensors;
pub mod tokenizer;
pub mod tokens;
pub mod train;
pub mod transfer;
mod watch;
mod wiki;

use std::path::Path;

use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Error, ModelFolder};
use gpt2_infer::GenerationConfig;

/// Any failure on its way to standard error; a binary has nobody else to tell.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a command returns.
pub type Outcome = Result<(), Failure>;

/// The folder's tokenizer. Where no text is to be read, a folder may have none.
fn tokenizer_for(folder: &ModelFolder, have_text: bool) -> Result<Option<Tokenizer>, Error> {
    if have_text { folder.tokenizer().map(Some) } else { folder.tokenizer_if_any() }
}

/// Refuses a folder whose generation defaults are wrong. An option that this version does not
/// implement is no fault of the folder.
fn check_generation_config(folder: &ModelFolder) -> Outcome {
    match GenerationConfig::from_pretrained(folder.path(), folder.config()) {
        Err(gpt2_infer::Error::NotImplemented { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses to write over what is read.
fn check_output(output: &Path, inputs: &[&Path]) -> Outcome {
    // What does not exist yet holds nothing.
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    let inside = |input: &&&Path| input.canonicalize().is_ok_and(|input| input.starts_with(&place));
    match inputs.iter().find(inside) {
        None => Ok(()),
        Some(input) => {
            let (output, input) = (output.display(), input.display());
            let expected = format!("another place than {input}, which is read");
            Err(format!("`output` is {output}, expected {expected}").into())
        }
    }
}
