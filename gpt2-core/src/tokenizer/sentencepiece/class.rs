//! Which of Hugging Face's classes a folder names, and what that class adds to its model.

use serde_json::{Map, Value};

use super::super::files::{CONFIG, SourceFile, SourceFiles};
use super::super::special::{AddedToken, Roles};
use super::model::RolePieces;
use super::prepare::Prepare;
use crate::Result;

/// Classes whose ids are those of the model, with their tokens of beginning, end, unknown and padding.
const CLASSES: [(&str, [Option<&str>; 4]); 8] = [
    ("AlbertTokenizer", [Some("[CLS]"), Some("[SEP]"), Some("<unk>"), Some("<pad>")]),
    ("BertGenerationTokenizer", [Some("<s>"), Some("</s>"), Some("<unk>"), Some("<pad>")]),
    ("BigBirdTokenizer", [Some("<s>"), Some("</s>"), Some("<unk>"), Some("<pad>")]),
    ("GemmaTokenizer", [Some("<bos>"), Some("<eos>"), Some("<unk>"), Some("<pad>")]),
    ("LlamaTokenizer", [Some("<s>"), Some("</s>"), Some("<unk>"), None]),
    ("ReformerTokenizer", [None, Some("</s>"), Some("<unk>"), None]),
    ("T5Tokenizer", [None, Some("</s>"), Some("<unk>"), Some("<pad>")]),
    ("XLNetTokenizer", [Some("<s>"), Some("</s>"), Some("<unk>"), Some("<pad>")]),
];

/// Classes that change a text first, and whether its letters become small if no file says so.
const PREPARING: [(&str, bool); 2] = [("AlbertTokenizer", true), ("XLNetTokenizer", false)];

/// T5 has a hundred.
const MAX_EXTRA_IDS: u32 = 10_000;

/// Classes that leave the model as it is, and say nothing of roles.
const PLAIN: [&str; 3] = ["GPT2Tokenizer", "PreTrainedTokenizer", "TokenizersBackend"];

/// What `tokenizer_config.json` says beyond roles and added tokens.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Tokens of beginning, end, unknown and padding; `None` leaves them to the model.
    roles: Option<[Option<&'static str>; 4]>,
    /// T5's `<extra_id_0>` and so on.
    extra_ids: u32,
    pub(super) prepare: Option<Prepare>,
}

/// The name of the class in a configuration, as the slow tokenizers have it.
fn name(config: &Map<String, Value>) -> Option<&str> {
    let name = config.get("tokenizer_class")?.as_str()?;
    Some(name.strip_suffix("Fast").unwrap_or(name))
}

fn flag(file: &SourceFile, config: &Map<String, Value>, key: &str, default: bool) -> Result<bool> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(file.error(format!("`{key}` is {other}, expected true or false"))),
    }
}

fn known(name: &str) -> Option<[Option<&'static str>; 4]> {
    CLASSES.iter().find(|(class, _)| *class == name).map(|(_, roles)| *roles)
}

/// Whether a folder names one of the classes that read a SentencePiece model.
///
/// # Errors
/// [`crate::Error::Json`] or [`crate::Error::Tokenizer`] for a configuration that is none.
pub(in crate::tokenizer) fn is_named(files: &SourceFiles) -> Result<bool> {
    let Some(file) = files.get(CONFIG) else { return Ok(false) };
    let config: Map<String, Value> = file.json()?;
    Ok(name(&config).is_some_and(|name| known(name).is_some()))
}

impl Class {
    /// # Errors
    /// [`crate::Error::Json`] and [`crate::Error::Tokenizer`], for a class with other ids than its model's, too.
    pub(super) fn read(files: &SourceFiles) -> Result<Self> {
        let Some(file) = files.get(CONFIG) else { return Ok(Self::default()) };
        let config: Map<String, Value> = file.json()?;
        let mut class = Self::default();
        if let Some(name) = name(&config) {
            class.roles = known(name);
            if class.roles.is_none() && !PLAIN.contains(&name) {
                let names: Vec<_> = CLASSES.iter().map(|(class, _)| *class).collect();
                let expected = format!("expected one of {}", names.join(", "));
                return Err(file.error(format!("`tokenizer_class` is {name:?}, {expected}")));
            }
            if let Some((_, small)) = PREPARING.iter().find(|(class, _)| *class == name) {
                class.prepare = Some(Prepare {
                    do_lower_case: flag(file, &config, "do_lower_case", *small)?,
                    keep_accents: flag(file, &config, "keep_accents", false)?,
                });
            }
        }
        if let Some(value) = config.get("extra_ids").filter(|value| !value.is_null()) {
            let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
            let count = count.filter(|count| *count <= MAX_EXTRA_IDS).ok_or_else(|| {
                file.error(format!("`extra_ids` is {value}, expected 0 to {MAX_EXTRA_IDS}"))
            })?;
            class.extra_ids = count;
        }
        Ok(class)
    }

    /// The tokens with a role, where no file says otherwise.
    pub(super) fn roles(&self, of_model: &RolePieces) -> Roles {
        let RolePieces { bos, eos, unk, pad } = of_model.clone();
        match self.roles {
            None => Roles { bos, eos, unk, pad },
            Some(roles) => {
                let [bos, eos, unk, pad] = roles.map(|role| role.map(str::to_string));
                Roles { bos, eos, unk, pad }
            }
        }
    }

    /// Tokens that follow the pieces of the model: the last one is `<extra_id_0>`.
    pub(super) fn extra_tokens(&self, pieces: usize) -> Vec<AddedToken> {
        let names = (0..self.extra_ids).rev().map(|n| format!("<extra_id_{n}>"));
        let ids = pieces as u32..;
        names.zip(ids).map(|(name, id)| AddedToken::plain(&name, id, true)).collect()
    }
}
