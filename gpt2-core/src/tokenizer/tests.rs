//! Claims about the tokenizer as a whole.

use std::path::Path;

use super::*;

/// A corpus with repetitions, several scripts and a special token.
pub(super) const TEXTS: [&str; 6] = [
    "",
    "the cat sat on the mat and the cat sat on the hat",
    "  two  spaces\n\nand lines\t the the cat's don't 1234 5678",
    "é ñ ü 日本語 日本語 🙂🙂",
    "<|endoftext|>the end<|endoftext|>",
    " leading and trailing ",
];

/// A tokenizer of 300 tokens, learned from [`TEXTS`].
pub(super) fn small() -> Tokenizer {
    let options =
        TrainBpeOptions { vocab_size: 300, min_frequency: 1, ..TrainBpeOptions::default() };
    Tokenizer::train_bpe(TEXTS.iter().map(|text| text.to_string()), &options).unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn refusal(folder: &Path) -> String {
    Tokenizer::from_folder(folder).unwrap_err().to_string()
}

#[test]
fn tokenizers_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Tokenizer>();
}

#[test]
fn decoding_undoes_encoding() {
    let tokenizer = small();
    for text in TEXTS {
        let encoding = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&encoding.ids, false).unwrap(), text);
        assert_eq!(tokenizer.encode_ids(text).unwrap(), encoding.ids);
        assert_eq!(encoding.ids.len(), encoding.offsets.len());
    }
}

#[test]
fn a_batch_keeps_the_order_of_its_texts() {
    let tokenizer = small();
    let batch = tokenizer.encode_batch(&TEXTS).unwrap();
    let one_by_one: Vec<_> = TEXTS.iter().map(|text| tokenizer.encode(text).unwrap()).collect();
    assert_eq!(batch, one_by_one);
}

#[test]
fn special_tokens_and_unknown_ids_leave_no_text() {
    let tokenizer = small();
    let ids = [0, tokenizer.token_to_id("a").unwrap(), 300, u32::MAX, 0];
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "a");
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "<|endoftext|>a<|endoftext|>");
    assert_eq!(tokenizer.id_to_token(300), None);
}

#[test]
fn a_model_needs_an_embedding_for_every_id() {
    let tokenizer = small();
    assert!(tokenizer.check_fits(300).is_ok() && tokenizer.check_fits(304).is_ok());
    let error = tokenizer.check_fits(299).unwrap_err().to_string();
    assert!(error.contains("ids up to 299") && error.contains("vocab_size 299"), "{error}");
}

#[test]
fn training_takes_a_padded_embedding_and_no_other() {
    let tokenizer = small();
    assert!(tokenizer.check_matches(300).is_ok() && tokenizer.check_matches(384).is_ok());
    for other in [299, 385, 50257] {
        let error = tokenizer.check_matches(other).unwrap_err().to_string();
        let [tokens, embeddings] = ["300 ids".to_string(), format!("vocab_size {other}")];
        assert!(error.contains(&tokens) && error.contains(&embeddings), "{error}");
    }
}

#[test]
fn a_folder_without_a_tokenizer_is_refused_by_name() {
    let error = refusal(folder(&[]).path());
    assert!(error.contains("tokenizer.json or vocab.json"), "{error}");
    let error = refusal(folder(&[("vocab.json", r#"{"a":0}"#)]).path());
    assert!(error.contains("merges.txt"), "{error}");
}

#[test]
fn side_files_give_roles_length_and_prefix() {
    let trained = tempfile::tempdir().unwrap();
    small().save(trained.path()).unwrap();
    let config = r#"{"model_max_length":1024,"add_prefix_space":true,"pad_token":"<|endoftext|>"}"#;
    std::fs::write(trained.path().join("tokenizer_config.json"), config).unwrap();
    let tokenizer = Tokenizer::from_folder(trained.path()).unwrap();
    assert_eq!(tokenizer.model_max_length(), Some(1024));
    assert_eq!(tokenizer.pad_token_id(), Some(0));
    assert_eq!(tokenizer.bos_token_id(), Some(0));
    assert_eq!(tokenizer.encode_ids("the").unwrap(), tokenizer.encode_ids(" the").unwrap());
}

#[test]
fn a_byte_level_folder_is_inspected() {
    let folder = tempfile::tempdir().unwrap();
    small().save(folder.path()).unwrap();
    let summary = Tokenizer::inspect(folder.path()).unwrap();
    assert_eq!((summary.kind, summary.vocab_size), (TokenizerKind::ByteLevelBpe, 300));
    assert_eq!(summary.files.len(), 5);
}

#[test]
fn half_a_tokenizer_is_not_the_same_as_none() {
    let whole = tempfile::tempdir().unwrap();
    let texts = ["kata demi kata demi kata".to_string()];
    let options = TrainBpeOptions { vocab_size: 260, ..TrainBpeOptions::default() };
    Tokenizer::train_bpe(texts.into_iter(), &options).unwrap().save(whole.path()).unwrap();
    for (half, other) in [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(whole.path().join(half), folder.path().join(half)).unwrap();
        let error = Tokenizer::from_folder(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("expected {other}")), "{error}");
    }
    let none = tempfile::tempdir().unwrap();
    let error = Tokenizer::from_folder(none.path()).unwrap_err();
    assert!(matches!(error, Error::MissingFile { .. }), "{error:?}");
}

/// The files of [`small`], `vocab.json` and `merges.txt` changed.
fn changed(
    change: impl Fn(&mut serde_json::Map<String, serde_json::Value>, &mut Vec<String>),
) -> tempfile::TempDir {
    let (saved, changed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    small().save(saved.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(saved.path().join(name)).unwrap();
    let mut vocab = serde_json::from_str(&read("vocab.json")).unwrap();
    let mut merges: Vec<String> = read("merges.txt").lines().map(String::from).collect();
    change(&mut vocab, &mut merges);
    let vocab = serde_json::Value::Object(vocab).to_string();
    std::fs::write(changed.path().join("vocab.json"), vocab).unwrap();
    std::fs::write(changed.path().join("merges.txt"), merges.join("\n")).unwrap();
    changed
}

#[test]
fn ids_may_be_left_out_where_no_merge_needs_them() {
    let whole = small();
    let last = whole.id_to_token(299).unwrap();
    let folder = changed(|vocab, merges| {
        vocab.remove(&last);
        merges.pop();
        // A token far behind the others.
        vocab.insert("Ġmat".to_string(), 5000.into());
    });
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.max_id()), (300, 5000));
    for text in TEXTS {
        let encoding = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.encode_ids(text).unwrap(), encoding.ids);
        assert_eq!(tokenizer.decode(&encoding.ids, false).unwrap(), text);
    }
    assert_eq!(tokenizer.decode(&[299, 300, 4999, 5000], false).unwrap(), " mat");
    assert!(tokenizer.check_fits(5000).is_err() && tokenizer.check_fits(5001).is_ok());
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save(copy.path()).unwrap();
    assert_eq!(Tokenizer::from_folder(copy.path()).unwrap().fingerprint(), tokenizer.fingerprint());
}

#[test]
fn a_hole_that_a_merge_needs_is_named() {
    let part = small().id_to_token(257).unwrap();
    let folder = changed(|vocab, _| {
        vocab.remove(&part);
    });
    let error = refusal(folder.path());
    assert!(error.contains("merges.txt: merge ") && error.contains("needs"), "{error}");
    assert!(error.contains(&format!("{part:?}, which the vocabulary lacks")), "{error}");
}

#[test]
fn a_merge_that_is_listed_twice_counts_where_it_is_last() {
    // So does the `tokenizers` library.
    let folder = changed(|_, merges| {
        let first = merges[1].clone();
        merges.push(first);
    });
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let (whole, json) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tokenizer.save(whole.path()).unwrap();
    std::fs::copy(whole.path().join("tokenizer.json"), json.path().join("tokenizer.json")).unwrap();
    let reloaded = Tokenizer::from_folder(json.path()).unwrap();
    for text in TEXTS {
        assert_eq!(tokenizer.encode(text).unwrap(), reloaded.encode(text).unwrap());
    }
    assert_ne!(tokenizer.fingerprint(), small().fingerprint());
}

#[test]
fn a_long_line_takes_time_in_proportion_to_its_length() {
    let tokenizer = small();
    let seconds = |length: usize| {
        let line = "thecatsatonthemat".repeat(length / 17);
        let passes = (0..3).map(|_| {
            let start = std::time::Instant::now();
            assert!(tokenizer.encode_ids(&line).unwrap().len() > length / 17);
            start.elapsed().as_secs_f64()
        });
        passes.fold(f64::INFINITY, f64::min)
    };
    // Eight times as long; 64 times the time would be quadratic.
    let (short, long) = (seconds(1 << 17), seconds(1 << 20));
    assert!(long < 30.0 * short, "{short} s and {long} s");
}
