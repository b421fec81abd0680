//! What can be wrong with a corpus and with its shards.

use std::fs;
use std::path::Path;

use gpt2_core::Gpt2Config;
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_train::Dataset;
use gpt2_train::data::{EncodingErrors, ShardFolder, Split, SplitBy, TokenizeOptions};
use serde_json::{Value, json};

use super::{Place, config, content, options, tokenizer};

#[test]
fn a_folder_with_anything_else_in_it_is_not_written_to() {
    let place = Place::new();
    fs::create_dir(place.path("shards")).unwrap();
    fs::write(place.path("shards/thesis.tex"), "five years").unwrap();
    for overwrite in [false, true] {
        let options = TokenizeOptions { overwrite, ..options() };
        let message = place.tokenize("shards", &options).unwrap_err().to_string();
        assert!(message.contains("other content") && message.contains("thesis.tex"), "{message}");
        assert_eq!(content(&place.path("shards")).len(), 1);
    }
}

#[test]
fn texts_that_cannot_be_shards_are_named_before_anything_is_written() {
    let place = Place::new();
    let lines = SplitBy::Lines { valid: 9000, test: 1000 };
    for (file, text, split, part) in [
        (
            "a.txt",
            &b"\xff\n"[..],
            SplitBy::Nothing,
            "a.txt, line 1: byte 0 of the file is not UTF-8",
        ),
        ("a.txt", b"\n \n", SplitBy::Nothing, "a.txt: there is no text"),
        ("b.jsonl", b"{\"input_ids\": [1]}\n", SplitBy::Nothing, "b.jsonl, line 1: a record of"),
        ("b.jsonl", b"{\"text\": 1}\n", SplitBy::Nothing, "b.jsonl, line 1: not a JSON"),
        ("b.jsonl", b"{\"text\": \"a\"}\n", lines, "expected more than valid_lines = 9000"),
    ] {
        let (path, old) = (place.path(file), fs::read(place.path(file)).unwrap());
        fs::write(&path, text).unwrap();
        let options = TokenizeOptions { split, ..options() };
        let message = place.tokenize("shards", &options).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert!(!place.path("shards").exists());
        fs::write(&path, old).unwrap();
    }
}

#[test]
fn bytes_that_are_not_utf_8_become_the_tokens_of_what_replaces_them() {
    let place = Place::new();
    let replace = TokenizeOptions { encoding_errors: EncodingErrors::Replace, ..options() };
    fs::write(place.path("a.txt"), b"Nenek \xE9 menanam \xF0\x9F cabai.\n").unwrap();
    let replaced = place.tokenize("replaced", &replace).unwrap();
    fs::write(place.path("a.txt"), "Nenek \u{FFFD} menanam \u{FFFD} cabai.\n").unwrap();
    let strict = place.tokenize("strict", &options()).unwrap();
    assert_eq!(replaced.splits, strict.splits);
    let message = place.tokenize("strict", &replace).unwrap_err().to_string();
    assert!(message.contains("`encoding_errors` was \"strict\" and is \"replace\""), "{message}");
}

/// What opening the folder's training part says after a change.
fn after(change: impl FnOnce(&Path)) -> String {
    let place = Place::new();
    place.tokenize("shards", &options()).unwrap();
    change(&place.path("shards"));
    let opened = ShardFolder::open(place.path("shards"));
    match opened.and_then(|folder| folder.shards(Split::Train)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn altered_shards_are_refused_by_file_and_field() {
    let patch = |file: &'static str, at: usize, bytes: &'static [u8]| {
        move |folder: &Path| {
            let path = folder.join(file);
            let mut content = fs::read(&path).unwrap();
            content[at..at + bytes.len()].copy_from_slice(bytes);
            fs::write(path, content).unwrap();
        }
    };
    let second = "train-00001.tokens";
    for (change, field) in [
        (patch(second, 0, b"X"), "GPT2TOKS"),
        (patch(second, 8, &[9]), "`version` is 9"),
        (patch(second, 12, &[4]), "`bytes_per_token` is 4"),
        (patch(second, 16, &[255; 8]), "`vocab_size` is 18446744073709551615"),
        (patch(second, 24, &[255; 8]), "`tokens` is 18446744073709551615"),
        (patch(second, 32, &[1, 2, 3]), "`tokenizer` is "),
        (patch(second, 48, &[1, 2, 3]), "`checksum` is "),
        (patch(second, 64, &[7, 7]), "the tokens have the checksum"),
    ] {
        let message = after(change);
        assert!(message.contains(second) && message.contains(field), "{message}");
    }
    let cut = |length| {
        move |folder: &Path| {
            let file = fs::OpenOptions::new().write(true).open(folder.join(second)).unwrap();
            file.set_len(length).unwrap();
        }
    };
    for (length, part) in
        [(0, "has 0 bytes"), (63, "has 63 bytes"), (64, "has 64 bytes"), (3000, "expected 2064")]
    {
        let message = after(cut(length));
        assert!(message.contains(second) && message.contains(part), "{message}");
    }
    let message = after(|folder| fs::remove_file(folder.join(second)).unwrap());
    assert!(message.contains(second) && message.contains("cannot read"), "{message}");
}

#[test]
fn altered_manifests_are_refused_by_field() {
    let set = |place: &'static str, value: Value| {
        move |folder: &Path| {
            let path = folder.join("manifest.json");
            let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            *manifest.pointer_mut(place).unwrap() = value;
            fs::write(path, manifest.to_string()).unwrap();
        }
    };
    for (place, value, part) in [
        ("/version", json!(2), "`version` is 2, expected 1"),
        ("/format", json!("zarr"), "`format` is \"zarr\""),
        ("/job/vocab_size", json!(281), "`vocab_size` is 280, expected 281"),
        ("/job/vocab_size", json!(u64::MAX), "`vocab_size` is 18446744073709551615"),
        ("/job/vocab_size", json!(-1), "not of this format"),
        ("/job/separator", json!(280), "`separator` is 280"),
        ("/job/shard_tokens", json!(0), "`shard_tokens` is 0"),
        ("/job/shard_tokens", json!(u64::MAX), "`splits.train.shards[0].tokens` is 1000"),
        ("/job/tokenizer", json!("../../etc"), "`tokenizer` is \"../../etc\""),
        ("/job/tokenizer", json!("0".repeat(32)), "`tokenizer` is "),
        ("/splits/train/tokens", json!(u64::MAX), "`splits.train.tokens` is"),
        ("/splits/train/shards/0/tokens", json!(u64::MAX), "`splits.train.shards[0].tokens` is"),
        ("/splits/train/shards/1/checksum", json!("é"), "shards[1].checksum`"),
        ("/splits/train/shards/1/checksum", json!("0".repeat(32)), "`checksum` is "),
        ("/splits/train/shards", json!([]), "its shards have 0"),
        ("/splits", json!({}), "no train part"),
        ("/splits", json!({"dev": {}}), "not of this format"),
        ("", json!([]), "not of this format"),
    ] {
        let message = after(set(place, value));
        assert!(message.contains(part), "{place}: {message}");
    }
}

#[test]
fn a_shard_that_is_cut_while_it_is_in_use_is_an_error_that_names_it() {
    let place = Place::new();
    let shards = place.shards(&options()).shards(Split::Train).unwrap();
    let data = Dataset::from_shards("training", shards, 64, &config()).unwrap();
    let path = place.path("shards/train-00001.tokens");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(70).unwrap();
    assert!(data.example(0).is_ok());
    let message = data.example(16).unwrap_err().to_string();
    assert!(message.contains("train-00001.tokens: cannot read"), "{message}");
    let message = data.ignoring(0).unwrap_err().to_string();
    assert!(message.contains("train-00001.tokens"), "{message}");
}

#[test]
fn tokens_of_another_tokenizer_or_vocabulary_are_refused() {
    let place = Place::new();
    let folder = place.shards(&options());
    folder.check_tokenizer(&tokenizer()).unwrap();
    let options = TrainBpeOptions { vocab_size: 270, ..TrainBpeOptions::default() };
    let other = Tokenizer::train_bpe(std::iter::once("a b".to_string()), &options).unwrap();
    let message = folder.check_tokenizer(&other).unwrap_err().to_string();
    assert!(message.contains("another tokenizer") && message.contains("280"), "{message}");
    let shards = folder.shards(Split::Train).unwrap();
    let small = Gpt2Config { vocab_size: 279, ..config() };
    let message = Dataset::from_shards("training", shards, 64, &small).unwrap_err().to_string();
    assert!(message.contains("vocabulary of 280, the model's has 279"), "{message}");
    let message = folder.shards(Split::Test).unwrap_err().to_string();
    assert!(message.contains("no test part, only train"), "{message}");
}
