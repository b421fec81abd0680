//! Writing a tokenizer as a folder that Hugging Face's libraries read.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::bpe::Bpe;
use super::files::{CONFIG, MERGES, SPECIAL_TOKENS, TOKENIZER, VOCAB, is_own, write_whole};
use super::special::{AddedToken, Roles};
use super::{Engine, Tokenizer};
use crate::{Error, Result};

impl Tokenizer {
    /// Writes the tokenizer into a folder, which is made if need be: `tokenizer.json`, `vocab.json`, `merges.txt`,
    /// `tokenizer_config.json` and `special_tokens_map.json`.
    ///
    /// Files that the tokenizer was loaded from keep their bytes; those that were missing are made. Hugging Face's
    /// `AutoTokenizer` reads the folder and gives the same ids. Of SentencePiece only what it was loaded from is written.
    ///
    /// # Errors
    /// [`Error::Io`]. Each file is written whole or not at all.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        for file in self.files.iter() {
            write_whole(&folder.join(file.name), &file.bytes)?;
        }
        let Engine::Bpe(bpe) = &self.engine else { return Ok(()) };
        for name in [VOCAB, MERGES, TOKENIZER, CONFIG, SPECIAL_TOKENS] {
            if self.files.get(name).is_some() {
                continue;
            }
            let path = folder.join(name);
            let bytes = self
                .generate(name, bpe)
                .map_err(|source| Error::Json { path: path.clone(), source })?;
            write_whole(&path, &bytes)?;
        }
        Ok(())
    }

    /// Whether this is the name of a file that [`Tokenizer::save`] writes, for a folder that is to hold nothing else.
    #[must_use]
    pub fn is_file_name(name: &str) -> bool {
        is_own(name)
    }

    /// The content of a file that the tokenizer did not come with.
    fn generate(&self, name: &str, bpe: &Bpe) -> serde_json::Result<Vec<u8>> {
        match name {
            VOCAB => serde_json::to_vec(&Vocab(bpe)),
            MERGES => Ok(merges(bpe).into_bytes()),
            TOKENIZER => serde_json::to_vec_pretty(&pipeline(bpe)),
            CONFIG => serde_json::to_vec_pretty(&self.config()),
            _ => serde_json::to_vec_pretty(&self.special_tokens()),
        }
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        config.insert("add_prefix_space".to_string(), self.add_prefix_space().into());
        let Roles { bos, eos, unk, pad } = &self.settings.roles;
        // Null and not left out: a reader would put `<|endoftext|>` there and give it a new id.
        for (key, token) in [("bos_token", bos), ("eos_token", eos), ("unk_token", unk)] {
            config.insert(key.to_string(), self.known(token).into());
        }
        if let Some(pad) = self.known(pad) {
            config.insert("pad_token".to_string(), pad.into());
        }
        if let Some(length) = self.model_max_length() {
            config.insert("model_max_length".to_string(), length.into());
        }
        config.insert("tokenizer_class".to_string(), "GPT2Tokenizer".into());
        config
    }

    fn special_tokens(&self) -> Map<String, Value> {
        let Roles { bos, eos, unk, pad } = &self.settings.roles;
        let roles =
            [("bos_token", bos), ("eos_token", eos), ("unk_token", unk), ("pad_token", pad)];
        let known = roles.into_iter().filter_map(|(key, token)| Some((key, self.known(token)?)));
        known.map(|(key, token)| (key.to_string(), token.into())).collect()
    }

    /// A role's token if it has an id.
    fn known<'t>(&self, token: &'t Option<String>) -> Option<&'t str> {
        token.as_deref().filter(|token| self.token_to_id(token).is_some())
    }
}

/// The vocabulary in the order of its ids.
struct Vocab<'b>(&'b Bpe);

impl Serialize for Vocab<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(tokens_in_order(self.0).map(|(id, token)| (token, id)))
    }
}

/// Every token as the vocabulary spells it, in the order of the ids.
pub(super) fn tokens_in_order(bpe: &Bpe) -> impl Iterator<Item = (u32, String)> {
    // A normalizer may show an added token in another form than its own.
    let added: HashMap<u32, &str> =
        bpe.added().iter().map(|token| (token.id, token.content.as_str())).collect();
    let token = move |id: u32| match added.get(&id) {
        Some(content) => Some(content.to_string()),
        None => bpe.id_to_token(id),
    };
    (0..=bpe.max_id()).filter_map(move |id| Some((id, token(id)?)))
}

fn merges(bpe: &Bpe) -> String {
    let mut text = String::from("#version: 0.2\n");
    for [left, right] in merge_tokens(bpe) {
        text.extend([&left, " ", &right, "\n"]);
    }
    text
}

fn merge_tokens(bpe: &Bpe) -> impl Iterator<Item = [String; 2]> {
    let token = |id: u32| bpe.id_to_token(id);
    bpe.merges().iter().filter_map(move |&(left, right)| Some([token(left)?, token(right)?]))
}

/// `tokenizer.json`, to the byte as the `tokenizers` library writes one that it has trained.
#[derive(Serialize)]
struct TokenizerJson<'b> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<AddedJson<'b>>,
    normalizer: Option<()>,
    pre_tokenizer: ByteLevelJson,
    post_processor: ByteLevelJson,
    decoder: ByteLevelJson,
    model: ModelJson<'b>,
}

#[derive(Serialize)]
struct AddedJson<'b> {
    id: u32,
    content: &'b str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Serialize)]
struct ByteLevelJson {
    r#type: &'static str,
    add_prefix_space: bool,
    trim_offsets: bool,
    use_regex: bool,
}

#[derive(Serialize)]
struct ModelJson<'b> {
    r#type: &'static str,
    dropout: Option<f32>,
    unk_token: Option<&'b str>,
    continuing_subword_prefix: Option<&'b str>,
    end_of_word_suffix: Option<&'b str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocab<'b>,
    merges: Vec<[String; 2]>,
}

/// A pipeline is made only for a tokenizer that had none, so it has no normalizer and trims no offsets.
fn pipeline(bpe: &Bpe) -> TokenizerJson<'_> {
    let byte_level = |add_prefix_space, trim_offsets| ByteLevelJson {
        r#type: "ByteLevel",
        add_prefix_space,
        trim_offsets,
        use_regex: true,
    };
    let mut added_tokens: Vec<_> = bpe.added().iter().map(added_json).collect();
    added_tokens.sort_unstable_by_key(|token| token.id);
    TokenizerJson {
        version: "1.0",
        truncation: None,
        padding: None,
        added_tokens,
        normalizer: None,
        pre_tokenizer: byte_level(bpe.add_prefix_space(), true),
        post_processor: byte_level(true, false),
        decoder: byte_level(true, true),
        model: ModelJson {
            r#type: "BPE",
            dropout: None,
            unk_token: bpe.unk_token(),
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: false,
            vocab: Vocab(bpe),
            merges: merge_tokens(bpe).collect(),
        },
    }
}

fn added_json(token: &AddedToken) -> AddedJson<'_> {
    let AddedToken { id, content, single_word, lstrip, rstrip, normalized, special } = token;
    AddedJson {
        id: *id,
        content,
        single_word: *single_word,
        lstrip: *lstrip,
        rstrip: *rstrip,
        normalized: *normalized,
        special: *special,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEXTS, small};
    use super::*;

    fn read(folder: &Path, name: &str) -> Vec<u8> {
        std::fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn a_saved_tokenizer_gives_the_same_ids_from_either_kind_of_file() {
        let tokenizer = small();
        let whole = tempfile::tempdir().unwrap();
        tokenizer.save(whole.path()).unwrap();
        let parts = tempfile::tempdir().unwrap();
        for name in [VOCAB, MERGES] {
            std::fs::write(parts.path().join(name), read(whole.path(), name)).unwrap();
        }
        for folder in [whole.path(), parts.path()] {
            let loaded = Tokenizer::from_folder(folder).unwrap();
            for text in TEXTS {
                assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
            }
            assert_eq!(loaded.special_ids(), tokenizer.special_ids());
            assert_eq!(loaded.eos_token_id(), Some(0));
        }
    }

    #[test]
    fn files_keep_their_bytes_and_missing_ones_are_made() {
        let first = tempfile::tempdir().unwrap();
        small().save(first.path()).unwrap();
        let source = tempfile::tempdir().unwrap();
        // The same content in another form, which must survive.
        let json: Value = serde_json::from_slice(&read(first.path(), TOKENIZER)).unwrap();
        let dense = serde_json::to_vec(&json).unwrap();
        std::fs::write(source.path().join(TOKENIZER), &dense).unwrap();
        let second = tempfile::tempdir().unwrap();
        Tokenizer::from_folder(source.path()).unwrap().save(second.path()).unwrap();
        assert_eq!(read(second.path(), TOKENIZER), dense);
        assert_eq!(read(second.path(), VOCAB), read(first.path(), VOCAB));
        assert_eq!(read(second.path(), MERGES), read(first.path(), MERGES));
        assert_eq!(read(second.path(), CONFIG), read(first.path(), CONFIG));
        let names = std::fs::read_dir(second.path()).unwrap().count();
        assert_eq!(names, 5, "no partial file is left behind");
    }

    #[test]
    fn added_tokens_survive_a_round_trip_with_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        small().save(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(TOKENIZER)).unwrap();
        std::fs::write(folder.path().join("added_tokens.json"), r#"{"<pad>":307}"#).unwrap();
        let loaded = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!((loaded.vocab_size(), loaded.max_id()), (301, 307));
        let copy = tempfile::tempdir().unwrap();
        loaded.save(copy.path()).unwrap();
        let reloaded = Tokenizer::from_folder(copy.path()).unwrap();
        assert_eq!(reloaded.encode("a<pad>").unwrap(), loaded.encode("a<pad>").unwrap());
        assert_eq!(reloaded.token_to_id("<pad>"), Some(307));
    }
}
