//! Vocabulary transfer: a trained model that is to go on in another language.
//!
//! The recipe of GPorTuguese-2 (Guillou 2020) and of the models that follow it: what a network has
//! learned about language stays, the rows of its embedding move to where a new tokenizer has the
//! same tokens.

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::model::mean_row;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::weights::{StoredDType, names};
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder};
use serde_json::{Map, Value};

use crate::Result;

/// Options of generation, besides the three roles, whose ids mean other tokens from now on.
const OPTIONS_WITH_IDS: [&str; 13] = [
    "bad_words_ids",
    "begin_suppress_tokens",
    "cls_token_id",
    "decoder_start_token_id",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "mask_token_id",
    "sep_token_id",
    "sequence_bias",
    "suppress_tokens",
    "unk_token_id",
];

/// A model whose embedding follows another tokenizer than the one it was trained with.
#[derive(Debug, Clone)]
pub struct VocabularyTransfer {
    /// The model; `vocab_size` and the ids of bos, eos and pad in its configuration are those of
    /// the tokenizer.
    pub model: Gpt2,
    /// The new tokenizer.
    pub tokenizer: Tokenizer,
    /// The folder's generation defaults, with the new ids and without options that name tokens of
    /// the old vocabulary (`suppress_tokens`, `bad_words_ids`, ...).
    pub generation_config: Option<Map<String, Value>>,
    /// Tokens that were in the old vocabulary too: their rows are bit for bit the old ones.
    pub kept: usize,
    /// All other tokens: their rows are the mean of all old rows.
    pub filled: usize,
}

/// Loads the model of `folder` with the vocabulary of `tokenizer`.
///
/// A token counts as the same if both vocabularies spell it alike. A head of its own, where
/// embeddings are not tied, is transferred like the embedding. The mean is taken in f64.
///
/// # Errors
/// What [`ModelFolder::tokenizer`] and [`ModelFolder::model`] say of the folder.
///
/// # Example
/// ```no_run
/// use gpt2_core::{ModelFolder, device, tokenizer::Tokenizer};
/// use gpt2_train::transfer_vocabulary;
///
/// let english = ModelFolder::open("gpt2")?;
/// let tokenizer = Tokenizer::from_folder("portuguese-tokenizer")?;
/// let transfer = transfer_vocabulary(&english, tokenizer, &device::best()?)?;
/// println!("{} rows kept, {} filled", transfer.kept, transfer.filled);
/// transfer.save("portuguese-start")?;
/// # Ok::<(), gpt2_train::Error>(())
/// ```
pub fn transfer_vocabulary(
    folder: &ModelFolder,
    tokenizer: Tokenizer,
    device: &Device,
) -> Result<VocabularyTransfer> {
    let old_tokenizer = folder.tokenizer()?;
    let old = folder.config();
    let sources = sources(&old_tokenizer, &tokenizer);
    let config = config(old, &tokenizer, sources.len());
    let checkpoint = folder.checkpoint()?;
    let mut reader = checkpoint.audit(old)?;
    let model = Gpt2::from_values(&config, device, |name, _| {
        let values = reader.read(name)?;
        Ok(if names::TOKEN_TABLES.contains(&name) {
            rows(&values, old.n_embd, &sources)
        } else {
            values
        })
    })?;
    reader.finish()?;
    let kept = sources.iter().flatten().count();
    Ok(VocabularyTransfer {
        generation_config: folder.generation_config()?.map(|old| options(old, &config)),
        model,
        tokenizer,
        kept,
        filled: sources.len() - kept,
    })
}

impl VocabularyTransfer {
    /// Writes a model folder, whole or not at all. It has no card: what the old one says of
    /// language and results is no longer so.
    ///
    /// # Errors
    /// What [`ModelToSave::save`] says.
    pub fn save(&self, destination: impl AsRef<Path>) -> Result<()> {
        let folder = ModelToSave {
            model: &self.model,
            tokenizer: Some(&self.tokenizer),
            generation_config: self.generation_config.as_ref(),
            card: None,
            dtype: StoredDType::F32,
        };
        Ok(folder.save(destination)?)
    }
}

/// For every new id the old id of the same token.
fn sources(old: &Tokenizer, new: &Tokenizer) -> Vec<Option<u32>> {
    (0..=new.max_id()).map(|id| old.token_to_id(&new.id_to_token(id)?)).collect()
}

/// The table of the new vocabulary: `[old rows, width]` becomes `[sources, width]`.
fn rows(old: &[f32], width: usize, sources: &[Option<u32>]) -> Vec<f32> {
    let mean = mean_row(old, width);
    let row = |source: &Option<u32>| match *source {
        Some(id) => &old[id as usize * width..][..width],
        None => &mean[..],
    };
    sources.iter().flat_map(row).copied().collect()
}

fn config(old: &Gpt2Config, tokenizer: &Tokenizer, vocab_size: usize) -> Gpt2Config {
    let mut config = Gpt2Config {
        vocab_size,
        bos_token_id: tokenizer.bos_token_id(),
        eos_token_id: tokenizer.eos_token_id().into_iter().collect(),
        pad_token_id: tokenizer.pad_token_id(),
        ..old.clone()
    };
    // Older folders have their generation defaults here.
    config.extra.retain(|key, _| !OPTIONS_WITH_IDS.contains(&key.as_str()));
    config
}

/// Generation defaults with the ids of `config`.
fn options(mut options: Map<String, Value>, config: &Gpt2Config) -> Map<String, Value> {
    options.retain(|key, _| !OPTIONS_WITH_IDS.contains(&key.as_str()));
    let ids = config.to_json();
    for role in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        match &ids[role] {
            Value::Null => options.remove(role),
            id => options.insert(role.to_string(), id.clone()),
        };
    }
    options
}
