//! English GPT-2 goes on in another language: vocabulary transfer and a recipe of stages.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Parser;
use gpt2_core::ModelFolder;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::data::split;
use gpt2_train::transfer_vocabulary;

use super::{Job, JobOptions, Program, documents};
use crate::{Failure, home_made};

/// What the small English model reads where no published one is given.
const ENGLISH: &str = include_str!("../corpus/english.txt");

/// Tokens of the published vocabularies: as many as GPT-2 has.
const VOCAB_SIZE: usize = 50257;

/// Train English GPT-2 on in another language, by the recipe of a published model.
#[derive(Debug, Parser)]
pub struct TransferOptions {
    /// Folder or hub id of English GPT-2 [default: a small model that reads a little English first]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Share of the documents that is held out
    #[arg(long, default_value_t = 0.2, value_name = "X")]
    pub valid_fraction: f64,
    /// Everything else.
    #[command(flatten)]
    pub job: JobOptions,
}

/// Goes through the recipe of GPorTuguese-2: trains a tokenizer for the language, gives it to English
/// GPT-2, and unfreezes that group by group. `own` are the documents that come with the program.
///
/// # Errors
/// Whatever is wrong with the options, the files or the device.
pub fn transfer(
    program: &Program,
    own: impl FnOnce() -> Result<Vec<String>, Failure>,
    options: &TransferOptions,
) -> Result<(), Failure> {
    let job = &options.job;
    let device = job.device()?;
    let texts = if job.is_rehearsal() { own()? } else { documents(&job.data)? };
    let (train, valid) = split(texts, options.valid_fraction, job.seed)?;
    let tokenizer = Tokenizer::train_bpe(train.iter().cloned(), &job.tokenizer(VOCAB_SIZE))?;

    let place = tempfile::tempdir()?;
    let english = english(options.model.as_deref(), place.path(), &device)?;
    let transfer = transfer_vocabulary(&english, tokenizer, &device)?;
    println!(
        "A tokenizer for {}: {} of its tokens are English ones too and keep their rows, {} start from \
         the mean of all rows.",
        program.language, transfer.kept, transfer.filled
    );
    let base = options.model.as_ref().map(|model| model.display().to_string());
    Job {
        program,
        options: job,
        model: transfer.model,
        tokenizer: transfer.tokenizer,
        generation_config: transfer.generation_config,
        base_model: base.or_else(|| Some("a small English GPT-2".to_string())),
        train,
        valid,
    }
    .run()?;
    Ok(())
}

/// The folder of the English model; the small one is made in `place`.
fn english(model: Option<&Path>, place: &Path, device: &Device) -> Result<ModelFolder, Failure> {
    match model {
        Some(model) => Ok(ModelFolder::open(ModelFolder::locate(model, &mut |_| {})?)?),
        None => {
            println!("No model is given: a small one reads {} bytes of English.", ENGLISH.len());
            let folder = place.join("english");
            home_made(ENGLISH, &folder, device)?;
            Ok(ModelFolder::open(folder)?)
        }
    }
}
