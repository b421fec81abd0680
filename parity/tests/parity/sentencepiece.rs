//! Ids, offsets and text of SentencePiece: of a model alone those of Google's library, of a model folder those of
//! `transformers`. The package's own fixtures hold none; those of `gpt2-core` have small models of every kind.

use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::{Encoding, Tokenizer};
use gpt2_core::{ModelFolder, tokenizer::TokenizerKind};
use gpt2_infer::{GenerationConfig, Pipeline};
use serde_json::Value;

use crate::json::{count, ids, items, text};
use crate::models::devices;
use crate::root::{Root, roots};

/// Names of expected files, and where their models are in a root.
fn models(root: &Root) -> Vec<(&'static str, PathBuf)> {
    let published = |name: &str| root.data(&format!("tokenizer/sentencepiece/{name}.model"));
    [
        ("sp-ja", root.model("sp-ja").join("spiece.model")),
        ("sp-ja-prefix", root.model("sp-ja-prefix").join("spiece.model")),
        ("test_model", published("test_model")),
        ("test_ja_model", published("test_ja_model")),
    ]
    .into_iter()
    .filter(|(name, path)| root.has(&format!("tokenization/{name}.json")) && path.is_file())
    .collect()
}

/// The tokenizer of a model with nothing beside it.
fn alone(model: &Path) -> Tokenizer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copied = std::fs::copy(model, folder.path().join("spiece.model"));
    copied.unwrap_or_else(|e| panic!("{}: {e}", model.display()));
    Tokenizer::from_folder(folder.path()).unwrap_or_else(|e| panic!("{}: {e}", model.display()))
}

fn strings(root: &Root) -> Vec<String> {
    let list = root.json("tokenization/strings.json");
    items(&list).iter().map(|string| string.as_str().expect("a string").to_string()).collect()
}

/// Offsets in characters, of pairs in bytes that follow each other.
fn offsets(string: &str, flat: &Value) -> Vec<(usize, usize)> {
    let flat = ids(flat);
    let place = |at: u32| string[..at as usize].chars().count();
    flat.as_chunks::<2>().0.iter().map(|&[from, to]| (place(from), place(to))).collect()
}

/// Decodes at once and id by id.
fn check_text(context: &str, tokenizer: &Tokenizer, ids: &[u32], expected: &str, skip: bool) {
    assert_eq!(tokenizer.decode(ids, skip).expect("text"), expected, "{context}: {ids:?}");
    let mut stream = tokenizer.decode_stream(skip);
    let mut pieces: String = ids.iter().filter_map(|&id| stream.push(id).expect("text")).collect();
    pieces.extend(stream.finish().expect("text"));
    assert_eq!(pieces, expected, "{context}, as a stream: {ids:?}");
}

#[test]
fn a_model_alone_equals_googles_library() {
    for root in roots() {
        for (name, path) in models(root) {
            let (tokenizer, strings) = (alone(&path), strings(root));
            let expected = root.json(&format!("tokenization/{name}.json"));
            assert_eq!(tokenizer.vocab_size(), count(&expected, "vocab_size"), "{name}");
            let special = &expected["special"];
            let id = |role: &str| special[role].as_u64().map(|id| id as u32);
            assert_eq!(tokenizer.bos_token_id(), id("bos"), "{name}");
            assert_eq!(tokenizer.eos_token_id(), id("eos"), "{name}");
            assert_eq!(tokenizer.pad_token_id(), id("pad"), "{name}");
            for (string, row) in strings.iter().zip(items(&expected["strings"])) {
                let context = format!("{} {name} {string:?}", root.name);
                let offsets = offsets(string, &row["byte_offsets"]);
                let wanted = Encoding { ids: ids(&row["ids"]), offsets };
                assert_eq!(tokenizer.encode(string).expect("ids"), wanted, "{context}");
                assert_eq!(tokenizer.encode_ids(string).expect("ids"), wanted.ids, "{context}");
                check_text(&context, &tokenizer, &wanted.ids, text(row, "decoded"), false);
            }
            for row in items(&expected["decode"]) {
                check_text(name, &tokenizer, &ids(&row["ids"]), text(row, "text"), false);
            }
        }
    }
}

#[test]
fn a_folder_equals_transformers() {
    for root in roots() {
        for (name, path) in models(root).into_iter().filter(|(name, _)| name.starts_with("sp-")) {
            let folder = path.parent().expect("a folder");
            let tokenizer = Tokenizer::from_folder(folder).expect("a good tokenizer");
            assert_eq!(tokenizer.kind(), TokenizerKind::SentencePiece);
            let expected = root.json(&format!("tokenization/{name}.json"));
            for (string, row) in strings(root).iter().zip(items(&expected["strings"])) {
                let context = format!("{} {name} {string:?}", root.name);
                let wanted = ids(row.get("hf_ids").unwrap_or(&row["ids"]));
                assert_eq!(tokenizer.encode(string).expect("ids").ids, wanted, "{context}");
                check_text(&context, &tokenizer, &wanted, text(row, "hf_decoded"), false);
                check_text(&context, &tokenizer, &wanted, text(row, "hf_decoded_skip"), true);
            }
        }
    }
}

#[test]
fn a_japanese_model_goes_from_text_to_text() {
    for folder in roots().iter().map(|root| root.model("sp-ja")).filter(|path| path.is_dir()) {
        let (_, device) = devices().remove(0);
        let pipeline =
            Pipeline::from_folder(&ModelFolder::open(folder).expect("a folder"), &device);
        let pipeline = pipeline.expect("a good folder").skip_special_tokens(false);
        let options = GenerationConfig {
            max_new_tokens: Some(12),
            max_length: None,
            do_sample: false,
            ..pipeline.generation_config().clone()
        };
        for prompt in ["近年の機械学習は", "日本の 首都"] {
            let found = pipeline.generate(prompt, &options).expect("a text").remove(0);
            // The random weights of this model make tokens of every kind.
            let whole = pipeline.tokenizer().decode(&found.sequence.ids, false).expect("text");
            assert_eq!(found.text, whole);
            let pieces = pipeline.stream(prompt, &options).expect("a stream");
            let pieces: String = pieces.map(|piece| piece.expect("a piece").text).collect();
            assert_eq!(format!("{prompt}{pieces}"), whole);
        }
    }
}
