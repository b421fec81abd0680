//! Runs that were broken off, and runs that were not.

use std::fs;
use std::path::Path;

use gpt2_train::data::{ShardFolder, SplitBy, TokenizeOptions, TokenizeProgress, tokenize_files};

use serde_json::{Value, json};

use super::{Place, content, options, tokenizer};

/// Copies a folder as a process would have left it that was killed while it wrote.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for (name, mut bytes) in content(from) {
        // A shard without a header is one that was being written.
        if name.ends_with(".tokens") && bytes[..8] == [0; 8] {
            bytes.extend([7; 99]);
        }
        fs::write(to.join(name), bytes).unwrap();
    }
    fs::write(to.join(".writing-abc"), "ha").unwrap();
}

#[test]
fn a_run_that_was_broken_off_goes_on_and_gives_the_same_bytes() {
    let place = Place::new();
    place.lengthen(400_000);
    let split = SplitBy::Lines { valid: 1000, test: 150_000 };
    let save_every = std::time::Duration::ZERO;
    let options =
        TokenizeOptions { split, shard_tokens: 1 << 19, save_every, ..TokenizeOptions::default() };
    let (files, whole) = (place.files(), place.path("whole"));
    let moments = std::sync::atomic::AtomicUsize::new(0);
    let snapshot = |progress: TokenizeProgress| {
        if let TokenizeProgress::Tokenized { .. } = progress {
            let moment = moments.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            copy(&whole, &place.path(&format!("moment-{moment}")));
        }
    };
    tokenize_files(&files, &tokenizer(), &whole, &options, &snapshot).unwrap();
    let moments = moments.into_inner();
    assert!(moments >= 3, "{moments}");
    let expected = content(&whole);
    for moment in 0..moments {
        let name = format!("moment-{moment}");
        let message = ShardFolder::open(place.path(&name)).unwrap_err().to_string();
        assert!(message.contains("not complete"), "{message}");
        let other = TokenizeOptions { separator: Some(1), ..options.clone() };
        let message = place.tokenize(&name, &other).unwrap_err().to_string();
        assert!(message.contains("unfinished") && message.contains("`separator`"), "{message}");
        let begun = std::sync::Mutex::new(Vec::new());
        let note = |progress| {
            if let TokenizeProgress::Tokenized { bytes, .. } = progress {
                begun.lock().unwrap().push(bytes);
            }
        };
        tokenize_files(&files, &tokenizer(), &place.path(&name), &options, &note).unwrap();
        assert_eq!(begun.into_inner().unwrap().len(), moments - moment - 1);
        let found = content(&place.path(&name));
        assert!(found == expected, "moment {moment}");
    }
}

#[test]
fn what_is_done_is_left_as_it_is_and_what_differs_is_named() {
    let place = Place::new();
    place.tokenize("shards", &options()).unwrap();
    let before = content(&place.path("shards"));
    place.tokenize("shards", &options()).unwrap();
    assert_eq!(content(&place.path("shards")), before);
    let refused = |options: &TokenizeOptions, part: &str| {
        let message = place.tokenize("shards", options).unwrap_err().to_string();
        assert!(message.contains("shards: it holds shards of another job"), "{message}");
        assert!(message.contains(part), "{message}");
        assert_eq!(content(&place.path("shards")), before);
    };
    refused(&TokenizeOptions { separator: None, ..options() }, "`separator` was 0 and is null");
    let fewer = TokenizeOptions { shard_tokens: 5, ..options() };
    refused(&fewer, "`shard_tokens` was 1000 and is 5");
    let split = SplitBy::Fraction { valid: 0.1, seed: 1 };
    refused(&TokenizeOptions { split, ..options() }, "`split` was \"nothing\" and is");
    let text = fs::read_to_string(place.path("a.txt")).unwrap();
    fs::write(place.path("a.txt"), text.replace("Nenek", "Kakek")).unwrap();
    refused(&options(), "a.txt has another content");
    fs::write(place.path("a.txt"), "Nenek").unwrap();
    refused(&options(), "bytes and has 5");
    place.tokenize("shards", &TokenizeOptions { overwrite: true, ..options() }).unwrap();
    assert_ne!(content(&place.path("shards")), before);
    place.tokenize("shards", &options()).unwrap();
}

#[test]
fn a_note_of_progress_that_cannot_be_is_refused_by_field() {
    let place = Place::new();
    place.lengthen(300_000);
    let save_every = std::time::Duration::ZERO;
    let options = TokenizeOptions { shard_tokens: 1 << 18, save_every, ..options() };
    let half = place.path("half");
    let snapshot = |progress: TokenizeProgress| {
        if let TokenizeProgress::Tokenized { .. } = progress
            && !half.exists()
        {
            copy(&place.path("whole"), &half);
        }
    };
    tokenize_files(&place.files(), &tokenizer(), &place.path("whole"), &options, &snapshot)
        .unwrap();
    let path = half.join("progress.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (field, value, part) in [
        ("/version", json!(3), "`version` is 3"),
        ("/place/file", json!(u32::MAX), "`place` is outside"),
        ("/place/offset", json!(u64::MAX), "`place` is outside"),
        ("/place/line", json!(u64::MAX), "`place` is outside"),
        ("/place/lines_before", json!(u64::MAX), "`place` is outside"),
        ("/written/train/open_tokens", json!(u64::MAX), "`written.train` has a shard"),
        ("/written/train/open_tokens", json!((1 << 18) - 1), "less in it than"),
        ("/written/train/whole/tokens", json!(1), "`splits.train.tokens` is 1"),
        ("/written/train/whole/shards/0/checksum", json!("0".repeat(32)), "`checksum` is"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(field).unwrap() = value;
        fs::write(&path, bad.to_string()).unwrap();
        let message = place.tokenize("half", &options).unwrap_err().to_string();
        assert!(message.contains(part), "{field}: {message}");
    }
    fs::write(&path, good.to_string()).unwrap();
    fs::remove_file(half.join("train-00000.tokens")).unwrap();
    let message = place.tokenize("half", &options).unwrap_err().to_string();
    assert!(message.contains("train-00000.tokens: cannot read"), "{message}");
    place.tokenize("half", &TokenizeOptions { overwrite: true, ..options }).unwrap();
    assert!(content(&half) == content(&place.path("whole")));
}
