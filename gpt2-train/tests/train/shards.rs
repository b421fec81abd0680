//! Corpora on the disk: what is in them, what can be wrong with them, and that training is the same.

use std::fs;
use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::data::{
    Document, Manifest, ShardFolder, Split, SplitBy, Splits, TextUnit, TokenizeOptions,
    TokenizeProgress, blocks, join, read_corpus, tokenize_files,
};
use gpt2_train::{Control, Dataset, Event, Result, Trainer, TrainingConfig};
use serde_json::{Value, json};

/// A folder with a little corpus: stories in both forms, with odd white space and a document of many lines.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let story = |at: usize| format!("Nenek {at} menanam cabai.\n  Kakek, {at}.  \n\n");
        fs::write(place.path("a.txt"), (0..40).map(story).collect::<String>()).unwrap();
        let line = |at: usize| format!("{{\"text\": \"Budi {at}\\n\\nmenyiram kebun \"}}\n");
        fs::write(place.path("b.jsonl"), (0..40).map(line).collect::<String>()).unwrap();
        place.lengthen(20);
        place
    }

    /// Gives the third file a document of so many lines, and a short one.
    fn lengthen(&self, lines: usize) {
        let long = "Setiap pagi, sebelum matahari terbit.\n".repeat(lines);
        fs::write(self.path("c.txt"), format!("{long}\n \nTamat.")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> Vec<PathBuf> {
        ["a.txt", "b.jsonl", "c.txt"].map(|name| self.path(name)).to_vec()
    }

    fn tokenize(&self, output: &str, options: &TokenizeOptions) -> Result<Manifest> {
        tokenize_files(&self.files(), &tokenizer(), &self.path(output), options, &|_| {})
    }

    fn shards(&self, options: &TokenizeOptions) -> ShardFolder {
        self.tokenize("shards", options).unwrap();
        ShardFolder::open(self.path("shards")).unwrap()
    }
}

fn tokenizer() -> Tokenizer {
    let text = "Nenek menanam cabai. Budi menyiram kebun. Setiap pagi, sebelum matahari terbit.";
    let options =
        TrainBpeOptions { vocab_size: 280, min_frequency: 1, ..TrainBpeOptions::default() };
    Tokenizer::train_bpe(std::iter::once(text.to_string()), &options).unwrap()
}

fn config() -> Gpt2Config {
    Gpt2Config {
        vocab_size: 280,
        n_positions: 64,
        n_embd: 16,
        n_layer: 1,
        n_head: 2,
        ..Gpt2Config::gpt2()
    }
}

fn options() -> TokenizeOptions {
    TokenizeOptions { separator: Some(0), shard_tokens: 1000, ..TokenizeOptions::default() }
}

/// The token streams of the parts, made in memory.
fn in_memory(place: &Place, options: &TokenizeOptions) -> Splits<Vec<u32>> {
    let files = place.files();
    let read = read_corpus(&files, TextUnit::Paragraph, options.split, &config()).unwrap();
    let tokenizer = tokenizer();
    let stream = |documents: Vec<Document>| {
        let ids = |document: Document| match document {
            Document::Text(text) => tokenizer.encode_ids(&text).unwrap(),
            Document::Tokens(_) => panic!("no text"),
        };
        join(&documents.into_iter().map(ids).collect::<Vec<_>>(), options.separator)
    };
    Splits { train: stream(read.train), valid: stream(read.valid), test: stream(read.test) }
}

fn blocks_of(data: &Dataset) -> Vec<Vec<u32>> {
    (0..data.len()).map(|at| data.example(at).unwrap().into_owned().input_ids).collect()
}

#[test]
fn shards_hold_what_tokenizing_in_memory_gives() {
    for (split, separator) in [
        (SplitBy::Nothing, Some(0)),
        (SplitBy::Nothing, None),
        (SplitBy::Lines { valid: 7, test: 100 }, Some(0)),
        (SplitBy::Lines { valid: 170, test: 3 }, Some(0)),
        (SplitBy::Fraction { valid: 0.3, seed: 5 }, Some(0)),
    ] {
        for (shard_tokens, lines) in [(97, 20), (70_000, 9000)] {
            let place = Place::new();
            // The longer one is encoded in pieces.
            place.lengthen(lines);
            let options = TokenizeOptions { split, separator, shard_tokens, ..options() };
            let folder = place.shards(&options);
            let mut expected = in_memory(&place, &options);
            for part in Split::ALL {
                let expected = expected.get_mut(part);
                assert_eq!(folder.has(part), !expected.is_empty(), "{options:?}");
                if expected.is_empty() {
                    continue;
                }
                let shards = folder.shards(part).unwrap();
                let count = shards.tokens() as usize;
                assert_eq!(&shards.read(0, count).unwrap(), expected, "{options:?} {part:?}");
                let data = Dataset::from_shards("training", shards, 64, &config()).unwrap();
                let memory = blocks(&[expected.clone()], None, 64);
                let memory = Dataset::new("training", memory, &config()).unwrap();
                assert_eq!(blocks_of(&data), blocks_of(&memory));
                assert_eq!(data.scored(), memory.scored());
                assert_eq!(data.length_of(data.len() - 1), memory.length_of(memory.len() - 1));
            }
        }
    }
}

#[test]
fn targets_that_do_not_count_are_the_same_on_the_disk_and_in_memory() {
    let place = Place::new();
    let shards = place.shards(&options()).shards(Split::Train).unwrap();
    let data = Dataset::from_shards("training", shards, 32, &config()).unwrap();
    let stream = in_memory(&place, &options()).train;
    let memory = Dataset::new("training", blocks(&[stream], None, 32), &config()).unwrap();
    let (data, memory) = (data.ignoring(0).unwrap(), memory.ignoring(0).unwrap());
    assert_eq!(data.scored(), memory.scored());
    assert!(data.scored() < data.len() * 31);
    assert_eq!(data.example(1).unwrap(), memory.example(1).unwrap());
}

#[test]
fn a_stream_that_is_shorter_than_a_block_is_one_shorter_block() {
    let place = Place::new();
    let tokenizer = tokenizer();
    let one = |name: &str, text: &str| {
        let (path, output) = (place.path(&format!("{name}.txt")), place.path(name));
        fs::write(&path, text).unwrap();
        tokenize_files(&[path], &tokenizer, &output, &options(), &|_| {}).unwrap();
        let shards = ShardFolder::open(&output).unwrap().shards(Split::Train).unwrap();
        Dataset::from_shards("training", shards, 64, &config())
    };
    let data = one("short", "Nenek, Nenek").unwrap();
    assert_eq!((data.len(), data.length_of(0)), (1, data.scored() + 1));
    let message = one("one", "N").unwrap_err().to_string();
    assert!(message.contains("no token to predict"), "{message}");
}

fn losses(data: &Dataset) -> Vec<f64> {
    let options = TrainingConfig {
        max_steps: Some(6),
        per_device_batch_size: 2,
        ..TrainingConfig::default()
    };
    let model = Gpt2::init(&config(), 1, &device::best().unwrap()).unwrap();
    let mut losses = Vec::new();
    let mut note = |event: &Event, _: &Gpt2| {
        if let Event::Step(record) = event {
            losses.push(record.loss);
        }
        Ok(Control::Continue)
    };
    Trainer::new(options).unwrap().run(model, data, None, &mut note).unwrap();
    losses
}

#[test]
fn training_from_shards_is_training_from_memory() {
    let place = Place::new();
    let shards = place.shards(&options()).shards(Split::Train).unwrap();
    let data = Dataset::from_shards("training", shards, 64, &config()).unwrap();
    let stream = in_memory(&place, &options()).train;
    let memory = Dataset::new("training", blocks(&[stream], None, 64), &config()).unwrap();
    let losses = [losses(&data), losses(&memory)];
    assert_eq!(losses[0].len(), 6);
    assert_eq!(losses[0], losses[1]);
}

#[test]
fn the_fingerprint_comes_from_the_checksums() {
    let place = Place::new();
    let of = |options: &TokenizeOptions, output: &str, block_size| {
        place.tokenize(output, options).unwrap();
        let shards = ShardFolder::open(place.path(output)).unwrap().shards(Split::Train).unwrap();
        Dataset::from_shards("training", shards, block_size, &config()).unwrap()
    };
    let one = of(&options(), "one", 64);
    assert_eq!(one.fingerprint(), of(&options(), "two", 64).fingerprint());
    let other = TokenizeOptions { separator: None, ..options() };
    for other in [of(&options(), "one", 32), of(&other, "three", 64), one.ignoring(0).unwrap()] {
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}

/// Copies a folder as a killed process would have left it: later writes are cut off or half there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for (name, mut bytes) in content(from) {
        if name.ends_with(".tokens") {
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

/// All files of a folder with their content, in order.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
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
        ("a.txt", &b"\xff\n"[..], SplitBy::Nothing, "a.txt, line 1: the line is not UTF-8"),
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

#[test]
fn wide_ids_take_four_bytes() {
    let place = Place::new();
    let tokenizer_folder = place.path("tokenizer");
    tokenizer().save(&tokenizer_folder).unwrap();
    let added = "{\"<far>\": 70000}";
    fs::write(tokenizer_folder.join("added_tokens.json"), added).unwrap();
    let tokenizer = Tokenizer::from_folder(&tokenizer_folder).unwrap();
    let file = place.path("far.txt");
    fs::write(&file, "Nenek <far> Kakek <far>").unwrap();
    let output = place.path("far");
    let manifest = tokenize_files(&[file], &tokenizer, &output, &options(), &|_| {}).unwrap();
    assert_eq!(manifest.job.bytes_per_token(), 4);
    let shards = ShardFolder::open(&output).unwrap().shards(Split::Train).unwrap();
    let expected = tokenizer.encode_ids("Nenek <far> Kakek <far>").unwrap();
    assert!(expected.contains(&70000));
    assert_eq!(shards.read(0, expected.len()).unwrap(), expected);
}
