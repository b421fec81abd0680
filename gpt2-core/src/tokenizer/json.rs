//! `tokenizer.json` of the `tokenizers` library, as far as byte-level BPE goes.
//!
//! The file describes a pipeline of exchangeable parts. Only what a GPT-2 tokenizer can consist of is accepted; every
//! other part would have to be run exactly as described or the ids would silently differ.

use serde::Deserialize;
use serde_json::Value;

use super::files::SourceFile;
use super::special::AddedToken;
use super::vocab::{Entries, MAX_IDS, Vocabulary, check_ids, check_merges, split_merge};
use crate::Result;

/// A pipeline, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipeline {
    pub(super) vocabulary: Vocabulary,
    pub(super) added: Vec<AddedToken>,
    pub(super) normalizers: Vec<NormalForm>,
    /// Put a space before a text that has none.
    pub(super) add_prefix_space: bool,
    /// Treat the text between added tokens as one word.
    pub(super) one_word: bool,
    /// Offsets leave out white space; the value is the post-processor's own `add_prefix_space`.
    pub(super) trim_offsets: Option<bool>,
    /// Stands for bytes that the vocabulary lacks.
    pub(super) unk_token: Option<String>,
    pub(super) fuse_unk: bool,
    /// A word that is in the vocabulary is taken whole.
    pub(super) ignore_merges: bool,
}

/// A change of the text before it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NormalForm {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    Lowercase,
}

/// The model's type alone, to be known before the rest is looked at.
#[derive(Deserialize)]
struct Head {
    model: ModelHead,
}

#[derive(Deserialize)]
struct ModelHead {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    dropout: Option<f64>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Entries,
    merges: Vec<Merge>,
}

/// Before version 0.20 of the library one string, since then a pair.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Parts(Vec<String>),
}

/// The model's type; older files do not state it.
///
/// # Errors
/// [`crate::Error::Json`] or [`crate::Error::Tokenizer`].
pub(super) fn model_type(file: &SourceFile) -> Result<Option<String>> {
    Ok(file.json::<Head>()?.model.kind)
}

/// Reads the file.
///
/// # Errors
/// [`crate::Error::Json`] or [`crate::Error::Tokenizer`], saying which part is not GPT-2's.
pub(super) fn read(file: &SourceFile) -> Result<Pipeline> {
    if let Some(kind) = model_type(file)?.filter(|kind| kind != "BPE") {
        return Err(file.error(format!("holds a {kind} model, expected byte-level BPE")));
    }
    let parsed: File = file.json()?;
    pipeline(parsed).map_err(|reason| file.error(reason))
}

fn pipeline(file: File) -> Result<Pipeline, String> {
    let mut pipeline = Pipeline::default();
    let splitter = part("pre_tokenizer", &file.pre_tokenizer)?;
    pipeline.add_prefix_space = flag(splitter, "add_prefix_space", false)?;
    pipeline.one_word = !flag(splitter, "use_regex", true)?;
    part("decoder", &file.decoder)?;
    if let Some(value) = &file.normalizer {
        read_normalizer(value, &mut pipeline.normalizers)?;
    }
    if let Some(value) = &file.post_processor {
        pipeline.trim_offsets = trim_offsets(value)?;
    }
    for token in &file.added_tokens {
        if token.id >= MAX_IDS {
            return Err(format!(
                "added token {:?} has id {}, expected a whole number below {MAX_IDS}",
                token.content, token.id
            ));
        }
    }
    pipeline.added = file.added_tokens;
    read_model(file.model, &mut pipeline)?;
    Ok(pipeline)
}

fn read_model(model: Model, pipeline: &mut Pipeline) -> Result<(), String> {
    if let Some(dropout) = model.dropout.filter(|p| *p != 0.0) {
        return Err(format!(
            "`dropout` of the model is {dropout}, expected none: ids would be random"
        ));
    }
    for (field, value) in [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            return Err(format!("`{field}` is {value:?}, expected none in byte-level BPE"));
        }
    }
    let mut merges = Vec::with_capacity(model.merges.len());
    for (i, merge) in model.merges.into_iter().enumerate() {
        let parts = match merge {
            Merge::Text(text) => split_merge(&text),
            Merge::Parts(parts) => <[String; 2]>::try_from(parts).ok().map(|[l, r]| (l, r)),
        };
        merges.push(parts.ok_or_else(|| format!("merge {} has not two parts", i + 1))?);
    }
    let ids = check_ids(model.vocab)?;
    check_merges(&ids, &merges)?;
    pipeline.unk_token = model.unk_token.filter(|token| ids.contains_key(token));
    pipeline.fuse_unk = model.fuse_unk;
    pipeline.ignore_merges = model.ignore_merges;
    pipeline.vocabulary = Vocabulary { ids, merges };
    Ok(())
}

/// A part that has to be `ByteLevel`.
fn part<'v>(field: &str, value: &'v Option<Value>) -> Result<&'v Value, String> {
    match value {
        Some(value) if type_of(value) == "ByteLevel" => Ok(value),
        Some(value) => Err(format!("`{field}` is {}, expected ByteLevel", type_of(value))),
        None => Err(format!("`{field}` is missing, expected ByteLevel")),
    }
}

fn type_of(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("of no type")
}

fn flag(part: &Value, field: &str, default: bool) -> Result<bool, String> {
    match part.get(field) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(format!("`{field}` is {other}, expected true or false")),
    }
}

fn read_normalizer(value: &Value, forms: &mut Vec<NormalForm>) -> Result<(), String> {
    match type_of(value) {
        "NFC" => forms.push(NormalForm::Nfc),
        "NFD" => forms.push(NormalForm::Nfd),
        "NFKC" => forms.push(NormalForm::Nfkc),
        "NFKD" => forms.push(NormalForm::Nfkd),
        "Lowercase" => forms.push(NormalForm::Lowercase),
        "Sequence" => {
            for inner in list(value, "normalizers")? {
                read_normalizer(inner, forms)?;
            }
        }
        other => {
            return Err(format!(
                "`normalizer` is {other}, expected NFC, NFD, NFKC, NFKD or Lowercase"
            ));
        }
    }
    Ok(())
}

/// Special tokens that a post-processor would add are none of our business: text is encoded as it is.
fn trim_offsets(value: &Value) -> Result<Option<bool>, String> {
    match type_of(value) {
        "ByteLevel" | "RobertaProcessing" => {
            let prefix = flag(value, "add_prefix_space", true)?;
            Ok(flag(value, "trim_offsets", true)?.then_some(prefix))
        }
        "TemplateProcessing" | "BertProcessing" => Ok(None),
        "Sequence" => {
            let mut trim = None;
            for inner in list(value, "processors")? {
                trim = trim.or(trim_offsets(inner)?);
            }
            Ok(trim)
        }
        other => {
            Err(format!("`post_processor` is {other}, expected ByteLevel or TemplateProcessing"))
        }
    }
}

fn list<'v>(value: &'v Value, field: &str) -> Result<&'v Vec<Value>, String> {
    value.get(field).and_then(Value::as_array).ok_or_else(|| format!("`{field}` is no list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A valid file with one part of its text replaced.
    fn with(from: &str, to: &str) -> Result<Pipeline> {
        let json = r#"{"version":"1.0","added_tokens":[{"id":3,"content":"<e>","special":true}],
            "normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
            "post_processor":{"type":"ByteLevel","trim_offsets":false},"decoder":{"type":"ByteLevel"},
            "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}"#;
        assert!(json.contains(from), "{from}");
        let bytes = json.replace(from, to).into_bytes();
        read(&SourceFile { name: "tokenizer.json", path: "t/tokenizer.json".into(), bytes })
    }

    #[test]
    fn merges_are_strings_or_pairs() {
        let text = with("normalizer", "normalizer").unwrap();
        let pairs = with(r#"["a b"]"#, r#"[["a","b"]]"#).unwrap();
        assert_eq!(text.vocabulary.merges, pairs.vocabulary.merges);
        assert!(!text.add_prefix_space && !text.one_word && text.trim_offsets.is_none());
    }

    #[test]
    fn normalizers_and_offsets_are_understood() {
        let sequence = r#""normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}"#;
        let read = with(r#""normalizer":null"#, sequence).unwrap();
        assert_eq!(read.normalizers, [NormalForm::Nfc, NormalForm::Lowercase]);
        let read = with(r#""trim_offsets":false"#, r#""add_prefix_space":false"#).unwrap();
        assert_eq!(read.trim_offsets, Some(false));
    }

    #[test]
    fn parts_that_are_not_gpt2s_are_refused_by_name() {
        for (from, to, words) in [
            (r#""type":"BPE""#, r#""type":"WordPiece""#, "holds a WordPiece model"),
            (
                r#""pre_tokenizer":{"type":"ByteLevel""#,
                r#""pre_tokenizer":{"type":"Metaspace""#,
                "`pre_tokenizer` is Metaspace",
            ),
            (r#""decoder":{"type":"ByteLevel"}"#, r#""decoder":null"#, "`decoder` is missing"),
            (
                r#""normalizer":null"#,
                r#""normalizer":{"type":"Precompiled"}"#,
                "`normalizer` is Precompiled",
            ),
            (r#""merges":["a b"]"#, r#""merges":["a b"],"dropout":0.1"#, "`dropout`"),
            (
                r#""merges":["a b"]"#,
                r#""merges":["a b"],"end_of_word_suffix":"</w>""#,
                "`end_of_word_suffix`",
            ),
            (r#"["a b"]"#, r#"[["a","b","c"]]"#, "merge 1 has not two parts"),
            (r#"["a b"]"#, r#"["a c"]"#, "which the vocabulary lacks"),
            (r#""ab":2"#, r#""ab":1"#, "id 1 is given"),
            (r#""id":3"#, r#""id":1099511627776"#, "expected u32"),
            (r#""id":3"#, r#""id":4194304"#, "below 4194304"),
            (r#""a b"]}}"#, "", "not valid JSON"),
        ] {
            let error = with(from, to).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("t/tokenizer.json"), "{to}: {error}");
        }
    }
}
