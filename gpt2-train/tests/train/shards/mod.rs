//! Corpora on the disk: what is in them, and that training on them is the same.

mod bad;
mod resume;

use std::fs;
use std::path::{Path, PathBuf};

use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::data::{
    Document, Manifest, ShardFolder, Split, SplitBy, Splits, TextUnit, TokenizeOptions, blocks,
    join, read_corpus, tokenize_files,
};
use gpt2_train::{Control, Dataset, Event, Result, Trainer, TrainingConfig};

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
                let memory = blocks(std::slice::from_ref(expected), None, 64);
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
    let model = Gpt2::init(&config(), 1, &device::test_device()).unwrap();
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
