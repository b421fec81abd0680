//! Ids, offsets and text of byte-level BPE, from every kind of file, before and after saving.

use std::path::{Path, PathBuf};

use gpt2_core::ModelFolder;
use gpt2_core::tokenizer::{Encoding, Tokenizer};
use serde_json::Value;

use crate::json::{count, ids, items, text};
use crate::root::{Root, roots};

/// The two kinds of file that hold a whole tokenizer.
const WHOLE: &[&str] = &["tokenizer.json"];
const PARTS: &[&str] = &["vocab.json", "merges.txt"];

/// Files of a tokenizer, and the expected file that was made with it.
struct Source {
    expected: &'static str,
    folder: PathBuf,
    files: &'static [&'static str],
}

/// The tokenizers of a root: its small one, and GPT-2's own where the data folder is there.
fn sources(root: &Root) -> Vec<Source> {
    let bbpe = |files| Source { expected: "bbpe.json", folder: root.model("bbpe"), files };
    let mut sources = vec![bbpe(WHOLE), bbpe(PARTS)];
    let published: [(_, &[_]); 3] =
        [("gpt2_hf", WHOLE), ("gpt2_hf", PARTS), ("gpt2", &["encoder.json", "vocab.bpe"])];
    for (name, files) in published {
        let folder = root.data(&format!("tokenizer/{name}"));
        if root.has("tokenization/gpt2.json") && folder.is_dir() {
            sources.push(Source { expected: "gpt2.json", folder, files });
        }
    }
    sources
}

/// A tokenizer that sees only some files of a folder.
fn read_only(files: &[&str], folder: &Path) -> Tokenizer {
    let place = tempfile::tempdir().expect("a temporary folder");
    for name in files {
        let copied = std::fs::copy(folder.join(name), place.path().join(name));
        copied.unwrap_or_else(|e| panic!("{}: {name}: {e}", folder.display()));
    }
    Tokenizer::from_folder(place.path()).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

fn strings(root: &Root) -> Vec<String> {
    let list = root.json("tokenization/strings.json");
    items(&list).iter().map(|string| string.as_str().expect("a string").to_string()).collect()
}

/// Holds a tokenizer against every row of an expected file.
fn check(context: &str, tokenizer: &Tokenizer, expected: &Value, strings: &[String]) {
    assert_eq!(tokenizer.vocab_size(), count(expected, "vocab_size"), "{context}");
    assert_eq!(tokenizer.eos_token_id(), Some(count(expected, "eot") as u32), "{context}");
    let rows = items(&expected["strings"]);
    assert_eq!(rows.len(), strings.len(), "{context}");
    let together = tokenizer.encode_batch(strings).expect("a complete vocabulary");
    for ((string, row), batched) in strings.iter().zip(rows).zip(together) {
        let context = format!("{context} {string:?}");
        let offsets = ids(&row["offsets"]);
        let pairs = offsets.as_chunks::<2>().0.iter();
        let offsets = pairs.map(|&[start, end]| (start as usize, end as usize)).collect();
        let wanted = Encoding { ids: ids(&row["ids"]), offsets };
        assert_eq!(tokenizer.encode(string).expect("ids"), wanted, "{context}");
        assert_eq!(tokenizer.encode_ids(string).expect("ids"), wanted.ids, "{context}");
        assert_eq!(batched, wanted, "{context}, in a batch");
        check_text(&context, tokenizer, &wanted.ids, text(row, "decoded"), false);
        check_text(&context, tokenizer, &wanted.ids, text(row, "decoded_skip"), true);
    }
    for row in items(&expected["decode"]) {
        let ids = ids(&row["ids"]);
        check_text(context, tokenizer, &ids, text(row, "text"), false);
        check_text(context, tokenizer, &ids, text(row, "text_skip"), true);
    }
}

/// Decodes at once and id by id.
fn check_text(context: &str, tokenizer: &Tokenizer, ids: &[u32], expected: &str, skip: bool) {
    let context = format!("{context}: {ids:?}, special tokens left out: {skip}");
    assert_eq!(tokenizer.decode(ids, skip).expect("text"), expected, "{context}");
    let mut stream = tokenizer.decode_stream(skip);
    let mut pieces: Vec<String> =
        ids.iter().filter_map(|&id| stream.push(id).expect("text")).collect();
    pieces.extend(stream.finish().expect("text"));
    assert_eq!(pieces.concat(), expected, "{context}, as a stream");
}

#[test]
fn ids_offsets_and_text_equal_the_tokenizers_library() {
    for root in roots() {
        let strings = strings(root);
        for source in sources(root) {
            let Source { expected, folder, files } = source;
            let context = format!("{} {expected} from {}", root.name, files.join(" + "));
            let expected = root.json(&format!("tokenization/{expected}"));
            check(&context, &read_only(files, &folder), &expected, &strings);
        }
    }
}

#[test]
fn a_saved_tokenizer_equals_the_tokenizers_library_from_either_kind_of_file() {
    for root in roots() {
        let strings = strings(root);
        for source in sources(root) {
            let saved = tempfile::tempdir().expect("a temporary folder");
            read_only(source.files, &source.folder).save(saved.path()).expect("a saved tokenizer");
            let expected = root.json(&format!("tokenization/{}", source.expected));
            let all = Tokenizer::from_folder(saved.path()).expect("what was saved");
            for (way, tokenizer) in [
                ("all files", all),
                ("tokenizer.json", read_only(WHOLE, saved.path())),
                ("vocab.json + merges.txt", read_only(PARTS, saved.path())),
            ] {
                let from = source.files.join(" + ");
                let context =
                    format!("{} {} from {from}, saved, from {way}", root.name, source.expected);
                check(&context, &tokenizer, &expected, &strings);
            }
        }
    }
}

#[test]
fn every_model_folder_with_that_tokenizer_gives_its_ids() {
    for root in roots() {
        let strings = strings(root);
        let expected = root.json("tokenization/bbpe.json");
        for name in root.folders_like_bbpe() {
            let folder = ModelFolder::open(root.model(&name)).expect("a good folder");
            // The reference has folders with weights alone.
            if let Some(tokenizer) = folder.tokenizer_if_any().expect("a good tokenizer") {
                check(&format!("{} {name}", root.name), &tokenizer, &expected, &strings);
            }
        }
    }
}

/// Every text file below a folder.
fn texts_below(folder: &Path, texts: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            texts_below(&path, texts);
        } else if path.extension().is_some_and(|kind| kind == "txt" || kind == "jsonl") {
            texts.push(path);
        }
    }
}

#[test]
fn every_text_comes_back_byte_for_byte() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/corpus");
    for root in roots() {
        let mut texts = Vec::new();
        for folder in [corpus.clone(), root.data("text")] {
            if folder.is_dir() {
                texts_below(&folder, &mut texts);
            }
        }
        assert!(texts.len() >= 5, "{texts:?}");
        for Source { folder, files, .. } in sources(root) {
            let tokenizer = read_only(files, &folder);
            for path in &texts {
                let text = std::fs::read_to_string(path).expect("a text");
                let encoding = tokenizer.encode(&text).expect("ids");
                assert_eq!(tokenizer.encode_ids(&text).expect("ids"), encoding.ids);
                let back = tokenizer.decode(&encoding.ids, false).expect("text");
                assert!(back == text, "{} with {}", path.display(), folder.display());
                let last = encoding.offsets.last().map(|offsets| offsets.1);
                assert_eq!(last, Some(text.chars().count()), "{}", path.display());
            }
        }
    }
}
