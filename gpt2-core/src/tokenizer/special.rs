//! What stands beside the vocabulary: special and added tokens, the model's length, the leading space.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::{ADDED_TOKENS, CONFIG, SPECIAL_TOKENS, SourceFile, SourceFiles};
use super::vocab::{MAX_IDS, check_id};
use crate::Result;

/// GPT-2's only special token: the default of `bos_token`, `eos_token` and `unk_token`.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";

/// Keys under which the files name further special tokens.
const OTHER_KEYS: [&str; 5] =
    ["sep_token", "cls_token", "mask_token", "additional_special_tokens", "extra_special_tokens"];

/// A token that is cut out of the text before it is divided into words. Fields bear the names of `tokenizer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AddedToken {
    #[serde(default)]
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) special: bool,
}

impl AddedToken {
    /// A token without peculiarities.
    pub(super) fn plain(content: &str, id: u32, special: bool) -> Self {
        let content = content.to_string();
        let normalized = !special;
        Self { id, content, single_word: false, lstrip: false, rstrip: false, normalized, special }
    }
}

/// Added tokens in their order, found by content.
#[derive(Debug, Clone, Default)]
struct AddedTokens {
    list: Vec<AddedToken>,
    places: HashMap<String, usize>,
}

impl AddedTokens {
    fn find(&mut self, content: &str) -> Option<&mut AddedToken> {
        self.places.get(content).and_then(|place| self.list.get_mut(*place))
    }

    /// Adds a token, or replaces its flags; the error says that its id would change.
    fn insert(&mut self, token: AddedToken) -> Result<(), String> {
        match self.find(&token.content) {
            Some(known) if known.id != token.id => Err(two_ids(&token.content, known.id, token.id)),
            Some(known) => {
                *known = token;
                Ok(())
            }
            None => {
                self.places.insert(token.content.clone(), self.list.len());
                self.list.push(token);
                Ok(())
            }
        }
    }
}

/// The tokens with a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) bos: Option<String>,
    pub(super) eos: Option<String>,
    pub(super) unk: Option<String>,
    pub(super) pad: Option<String>,
}

/// What the side files say.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) roles: Roles,
    /// Special tokens by name; their ids are in the vocabulary or among the added tokens.
    named: Vec<AddedToken>,
    /// Tokens that bring their own id.
    added: AddedTokens,
    pub(super) model_max_length: Option<usize>,
    pub(super) add_prefix_space: Option<bool>,
}

impl Roles {
    fn tokens(&self) -> impl Iterator<Item = &String> {
        [&self.bos, &self.eos, &self.unk, &self.pad].into_iter().flatten()
    }
}

impl Settings {
    /// Settings of a tokenizer that comes from no folder.
    pub(super) fn with_roles(roles: Roles) -> Self {
        Self { roles, ..Self::default() }
    }

    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, all of them optional. What they
    /// do not say of roles, `defaults` does.
    ///
    /// # Errors
    /// [`crate::Error::Json`] or [`crate::Error::Tokenizer`], naming file and field.
    pub(super) fn read(files: &SourceFiles, defaults: Roles) -> Result<Self> {
        let mut settings = Self::default();
        let mut roles = Map::new();
        let mut source = None;
        for name in [CONFIG, SPECIAL_TOKENS] {
            let Some(file) = files.get(name) else { continue };
            let object: Map<String, Value> = file.json()?;
            if name == CONFIG {
                settings.read_config(file, &object)?;
            } else if !settings.added.list.is_empty() {
                // A configuration with `added_tokens_decoder` is complete; the map beside it is for older readers.
                continue;
            }
            // Once for each file alone, so that an error names the file that has the field.
            named_tokens(file, &object)?;
            roles.extend(object);
            source = Some(file);
        }
        if let Some(file) = source {
            settings.named = named_tokens(file, &roles)?;
            settings.roles = read_roles(file, &roles, defaults)?;
        } else {
            settings.roles = defaults;
        }
        // A role that is held by default makes its token special too.
        let roles = settings.roles.tokens().map(|token| AddedToken::plain(token, 0, true));
        settings.named.extend(roles);
        if let Some(file) = files.get(ADDED_TOKENS) {
            settings.read_added(file)?;
        }
        Ok(settings)
    }

    fn read_config(&mut self, file: &SourceFile, config: &Map<String, Value>) -> Result<()> {
        self.add_prefix_space = match config.get("add_prefix_space") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(value)) => Some(*value),
            Some(other) => return Err(wrong(file, "add_prefix_space", other, "true or false")),
        };
        self.model_max_length = match config.get("model_max_length") {
            None | Some(Value::Null) => None,
            // "No limit" is written as 1e30, which is no whole number of 64 bits.
            Some(Value::Number(n)) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
            Some(other) => return Err(wrong(file, "model_max_length", other, "a whole number")),
        };
        match config.get("added_tokens_decoder") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Object(tokens)) => {
                for (id, token) in tokens {
                    let parsed = id.parse().ok().filter(|id| *id < MAX_IDS);
                    let id = parsed.ok_or_else(|| {
                        let expected = format!("expected a whole number below {MAX_IDS}");
                        file.error(format!("`added_tokens_decoder` has the id {id:?}, {expected}"))
                    })?;
                    let token = token_of(file, "added_tokens_decoder", token, false)?;
                    let inserted = self.added.insert(AddedToken { id, ..token });
                    inserted.map_err(|reason| file.error(reason))?;
                }
                Ok(())
            }
            Some(other) => {
                Err(wrong(file, "added_tokens_decoder", other, "an object of tokens by id"))
            }
        }
    }

    fn read_added(&mut self, file: &SourceFile) -> Result<()> {
        for (content, id) in file.json::<Map<String, Value>>()? {
            let id = check_id(&content, &id).map_err(|reason| file.error(reason))?;
            // Flags that are already known say more than this file does.
            if self.added.find(&content).is_none_or(|known| known.id != id) {
                let inserted = self.added.insert(AddedToken::plain(&content, id, false));
                inserted.map_err(|reason| file.error(reason))?;
            }
        }
        Ok(())
    }

    /// Brings these tokens together with those of `tokenizer.json`. Tokens with a new id enter the vocabulary.
    ///
    /// A special token that no file gives an id to stays out: an id of our own making could only lie beyond the
    /// model's embedding.
    ///
    /// # Errors
    /// The reason, when two tokens claim one id or one token two.
    pub(super) fn merge_into(
        &self,
        ids: &mut HashMap<String, u32>,
        from_json: Vec<AddedToken>,
    ) -> Result<Vec<AddedToken>, String> {
        let mut added = AddedTokens::default();
        for token in from_json.iter().chain(&self.added.list) {
            if !token.content.is_empty() {
                added.insert(token.clone())?;
            }
        }
        for token in &self.named {
            if let Some(known) = added.find(&token.content) {
                known.special = true;
            } else if let Some(&id) = ids.get(&token.content) {
                added.insert(AddedToken { id, ..token.clone() })?;
            }
        }
        if added.list.iter().all(|token| ids.get(&token.content) == Some(&token.id)) {
            return Ok(added.list);
        }
        let mut owners: HashMap<u32, String> = ids.iter().map(|(t, id)| (*id, t.clone())).collect();
        for token in &added.list {
            let id = *ids.entry(token.content.clone()).or_insert(token.id);
            if id != token.id {
                return Err(two_ids(&token.content, id, token.id));
            }
            let owner = owners.entry(id).or_insert_with(|| token.content.clone());
            if *owner != token.content {
                return Err(format!("id {id} is given to {owner:?} and to {:?}", token.content));
            }
        }
        Ok(added.list)
    }
}

fn two_ids(token: &str, one: u32, other: u32) -> String {
    format!("token {token:?} has the ids {one} and {other}, expected one")
}

/// The roles of GPT-2.
pub(super) fn default_roles() -> Roles {
    let token = || Some(END_OF_TEXT.to_string());
    Roles { bos: token(), eos: token(), unk: token(), pad: None }
}

/// Roles as stated; the defaults where nothing is. An explicit null means none.
fn read_roles(file: &SourceFile, object: &Map<String, Value>, defaults: Roles) -> Result<Roles> {
    let role = |key: &str, default: Option<String>| match object.get(key) {
        None => Ok(default),
        Some(Value::Null) => Ok(None),
        Some(value) => Ok(Some(token_of(file, key, value, true)?.content)),
    };
    let Roles { bos, eos, unk, pad } = defaults;
    Ok(Roles {
        bos: role("bos_token", bos)?,
        eos: role("eos_token", eos)?,
        unk: role("unk_token", unk)?,
        pad: role("pad_token", pad)?,
    })
}

/// All special tokens that the files name.
fn named_tokens(file: &SourceFile, object: &Map<String, Value>) -> Result<Vec<AddedToken>> {
    let mut tokens = Vec::new();
    for key in ["bos_token", "eos_token", "unk_token", "pad_token"].into_iter().chain(OTHER_KEYS) {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) if key.ends_with("tokens") => {
                for token in list {
                    tokens.push(token_of(file, key, token, true)?);
                }
            }
            Some(Value::Object(list)) if key.ends_with("tokens") => {
                for token in list.values() {
                    tokens.push(token_of(file, key, token, true)?);
                }
            }
            Some(token) => tokens.push(token_of(file, key, token, true)?),
        }
    }
    Ok(tokens)
}

/// A token that is written as a string or as an object with `content`.
fn token_of(file: &SourceFile, key: &str, value: &Value, special: bool) -> Result<AddedToken> {
    match value {
        Value::String(content) => Ok(AddedToken::plain(content, 0, special)),
        Value::Object(_) => match AddedToken::deserialize(value) {
            Ok(token) => Ok(AddedToken { special: special || token.special, ..token }),
            Err(e) => Err(file.error(format!("`{key}`: {e}"))),
        },
        other => Err(wrong(file, key, other, "a string or an object with `content`")),
    }
}

fn wrong(file: &SourceFile, key: &str, found: &Value, expected: &str) -> crate::Error {
    let mut found = found.to_string();
    if found.chars().count() > 60 {
        found = found.chars().take(60).chain("...".chars()).collect();
    }
    file.error(format!("`{key}` is {found}, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[(&'static str, &str)]) -> Result<Settings> {
        let mut sources = SourceFiles::default();
        for (name, text) in files {
            sources.insert(name, text.as_bytes().to_vec());
        }
        Settings::read(&sources, default_roles())
    }

    fn ids(tokens: &[(&str, u32)]) -> HashMap<String, u32> {
        tokens.iter().map(|(token, id)| (token.to_string(), *id)).collect()
    }

    #[test]
    fn without_side_files_the_roles_are_gpt2s() {
        let roles = settings(&[]).unwrap().roles;
        assert_eq!(roles, default_roles());
        assert_eq!(roles.pad, None);
    }

    #[test]
    fn a_role_is_a_string_an_object_or_null() {
        let read = settings(&[(
            CONFIG,
            r#"{"bos_token":null,"eos_token":{"content":"</s>","lstrip":true},"pad_token":"<pad>",
                "model_max_length":1e30,"add_prefix_space":true}"#,
        )])
        .unwrap();
        assert_eq!(read.roles.bos, None);
        assert_eq!(read.roles.eos.as_deref(), Some("</s>"));
        assert_eq!(read.roles.unk.as_deref(), Some(END_OF_TEXT));
        assert_eq!(read.roles.pad.as_deref(), Some("<pad>"));
        assert_eq!((read.model_max_length, read.add_prefix_space), (None, Some(true)));

        let mut ids = ids(&[("</s>", 0), ("a", 1)]);
        let added = read.merge_into(&mut ids, Vec::new()).unwrap();
        assert_eq!(added.len(), 1, "{added:?}");
        assert!(added[0].special && added[0].lstrip);
    }

    #[test]
    fn added_tokens_bring_their_ids() {
        let read = settings(&[
            (ADDED_TOKENS, r#"{"<pad>":7,"extra":8}"#),
            (SPECIAL_TOKENS, r#"{"pad_token":"<pad>"}"#),
        ])
        .unwrap();
        let mut ids = ids(&[("a", 0)]);
        let added = read.merge_into(&mut ids, Vec::new()).unwrap();
        assert_eq!(ids["extra"], 8);
        assert_eq!(
            added.iter().map(|t| (t.id, t.special)).collect::<Vec<_>>(),
            [(7, true), (8, false)]
        );
    }

    #[test]
    fn contradicting_ids_are_refused() {
        let read = settings(&[(ADDED_TOKENS, r#"{"x":0}"#)]).unwrap();
        let error = read.merge_into(&mut ids(&[("a", 0)]), Vec::new()).unwrap_err();
        assert!(error.contains("id 0 is given"), "{error}");
        let error = read.merge_into(&mut ids(&[("x", 3)]), Vec::new()).unwrap_err();
        assert!(error.contains("the ids 3 and 0"), "{error}");
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (text, words) in [
            (r#"{"bos_token":3}"#, "`bos_token` is 3"),
            (r#"{"eos_token":{"lstrip":true}}"#, "`eos_token`: missing field `content`"),
            (r#"{"model_max_length":"x"}"#, "`model_max_length`"),
            (r#"{"added_tokens_decoder":{"-1":"x"}}"#, "\"-1\""),
            (r#"{"added_tokens_decoder":{"1099511627776":"x"}}"#, "1099511627776"),
            ("[]", "expected a map"),
        ] {
            let error =
                settings(&[(CONFIG, text), (SPECIAL_TOKENS, "{}")]).unwrap_err().to_string();
            assert!(error.contains(words) && error.starts_with(CONFIG), "{text}: {error}");
        }
    }
}
