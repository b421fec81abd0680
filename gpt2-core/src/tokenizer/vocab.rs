//! A vocabulary and its merges, checked before anything is built from them.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::files::{MERGES, SourceFile, SourceFiles, VOCAB};
use crate::{Error, Result};

/// One past the largest id that is accepted: eighty times GPT-2's vocabulary. Tables are as long as the largest id, so
/// it has to be bounded before they are made.
pub(super) const MAX_IDS: u32 = 1 << 22;

/// Tokens with their ids, and merges in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Vocabulary {
    pub(super) ids: HashMap<String, u32>,
    pub(super) merges: Vec<(String, String)>,
}

/// The entries of a JSON object in the order of the file, repeated keys included.
pub(super) struct Entries(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Reads `vocab.json` and `merges.txt`.
///
/// # Errors
/// [`Error::MissingFile`] when both are missing, [`Error::Tokenizer`] when one is, [`Error::Json`] and
/// [`Error::Tokenizer`] when they are malformed.
pub(super) fn read(files: &SourceFiles, folder: &std::path::Path) -> Result<Vocabulary> {
    let (vocab, merges) = match (files.get(VOCAB), files.get(MERGES)) {
        (Some(vocab), Some(merges)) => (vocab, merges),
        // Half a tokenizer is a damaged folder, not a folder without one.
        (Some(half), None) => return Err(half.error("expected merges.txt beside this file")),
        (None, Some(half)) => return Err(half.error("expected vocab.json beside this file")),
        (None, None) => {
            let expected = "tokenizer.json or vocab.json".to_string();
            return Err(Error::MissingFile { folder: folder.to_path_buf(), expected });
        }
    };
    let ids = check_ids(vocab.json::<Entries>()?).map_err(|reason| vocab.error(reason))?;
    let lines = read_merges(merges)?;
    check_merges(&ids, &lines).map_err(|reason| merges.error(reason))?;
    Ok(Vocabulary { ids, merges: lines })
}

/// Tokens and ids without repetitions and within bounds; the error says which is at fault.
pub(super) fn check_ids(entries: Entries) -> Result<HashMap<String, u32>, String> {
    if entries.0.is_empty() {
        return Err("the vocabulary is empty".to_string());
    }
    let mut ids = HashMap::with_capacity(entries.0.len());
    let mut tokens: HashMap<u32, String> = HashMap::with_capacity(entries.0.len());
    for (token, id) in entries.0 {
        let id = check_id(&token, &id)?;
        if let Some(other) = tokens.insert(id, token.clone()) {
            return Err(format!("id {id} is given to {other:?} and to {token:?}"));
        }
        if ids.contains_key(&token) {
            return Err(format!("token {token:?} occurs twice"));
        }
        ids.insert(token, id);
    }
    Ok(ids)
}

/// An id within bounds.
pub(super) fn check_id(token: &str, id: &Value) -> Result<u32, String> {
    let found = id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id < MAX_IDS);
    found.ok_or_else(|| {
        format!("token {token:?} has id {id}, expected a whole number from 0 to {}", MAX_IDS - 1)
    })
}

/// Parts and results of all merges are in the vocabulary.
pub(super) fn check_merges(
    ids: &HashMap<String, u32>,
    merges: &[(String, String)],
) -> Result<(), String> {
    for (i, (left, right)) in merges.iter().enumerate() {
        let whole = format!("{left}{right}");
        for token in [left, right, &whole] {
            if !ids.contains_key(token) {
                return Err(format!(
                    "merge {} ({left:?} {right:?}) needs {token:?}, which the vocabulary lacks",
                    i + 1
                ));
            }
        }
    }
    Ok(())
}

/// One merge a line, two parts with one space between them; the line with the version is no merge.
fn read_merges(file: &SourceFile) -> Result<Vec<(String, String)>> {
    let text = file.text()?.trim_end_matches(['\n', '\r']);
    let mut merges = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.starts_with("#version") || text.is_empty() {
            continue;
        }
        let merge = split_merge(line)
            .ok_or_else(|| file.error(format!("line {} is {line:?}, expected two parts", i + 1)))?;
        merges.push(merge);
    }
    Ok(merges)
}

/// The two parts of a merge that is written as one string.
pub(super) fn split_merge(text: &str) -> Option<(String, String)> {
    let (left, right) = text.split_once(' ')?;
    let whole = !left.is_empty() && !right.is_empty() && !right.contains(' ');
    whole.then(|| (left.to_string(), right.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> SourceFile {
        SourceFile { name: MERGES, path: "merges.txt".into(), bytes: text.to_vec() }
    }

    fn vocab(json: &str) -> Result<HashMap<String, u32>> {
        let file = file(json.as_bytes());
        check_ids(file.json()?).map_err(|reason| file.error(reason))
    }

    fn refused(json: &str, words: &str) {
        let error = vocab(json).unwrap_err().to_string();
        assert!(error.contains(words), "{json}: {error}");
    }

    #[test]
    fn a_vocabulary_that_is_no_table_of_ids_is_refused() {
        refused(r#"["a"]"#, "expected an object of tokens");
        refused(r#"{"a":0"#, "not valid JSON");
        refused("{}", "empty");
        refused(r#"{"a":0,"b":0}"#, "id 0 is given");
        refused(r#"{"a":0,"a":1}"#, "occurs twice");
        refused(r#"{"a":-1}"#, "has id -1");
        refused(r#"{"a":1.5}"#, "has id 1.5");
        refused(r#"{"a":"0"}"#, "has id \"0\"");
    }

    #[test]
    fn a_huge_id_is_refused_before_a_table_is_made() {
        refused(r#"{"a":1099511627776}"#, "expected a whole number from 0 to 4194303");
        refused(r#"{"a":4194304}"#, "expected a whole number from 0 to 4194303");
    }

    #[test]
    fn merges_have_two_parts() {
        for (text, line) in
            [("a b\nc\n", "line 2"), ("a b c\n", "line 1"), ("a b\n\nc d", "line 2")]
        {
            let error = read_merges(&file(text.as_bytes())).unwrap_err().to_string();
            assert!(error.contains(line), "{text:?}: {error}");
        }
        assert!(read_merges(&file(b"a \xff\n")).unwrap_err().to_string().contains("not UTF-8"));
        let merges = read_merges(&file(b"#version: 0.2\r\na b\r\nab #\r\n\r\n")).unwrap();
        assert_eq!(merges, [("a".into(), "b".into()), ("ab".into(), "#".into())]);
        assert!(read_merges(&file(b"")).unwrap().is_empty());
    }

    #[test]
    fn a_merge_of_unknown_tokens_is_refused() {
        let ids = vocab(r#"{"a":0,"b":1,"ab":2}"#).unwrap();
        let merge = |l: &str, r: &str| check_merges(&ids, &[(l.to_string(), r.to_string())]);
        assert!(merge("a", "b").is_ok());
        assert!(merge("a", "c").unwrap_err().contains("\"c\""));
        // Longer than every token: the case in which a table of the longest token is too short.
        assert!(merge("ab", "b").unwrap_err().contains("\"abb\""));
    }
}
