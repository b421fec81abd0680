//! Claims about learned models as a whole.

use serde::Deserialize;

use super::*;

/// A corpus, and what Google's trainer made of it; see `make.py` beside them.
const CORPUS: &str = include_str!("../../../../tests/fixtures/train/corpus.txt");
const CASES: &str = include_str!("../../../../tests/fixtures/train/unigram.json");

fn corpus() -> Vec<String> {
    CORPUS.lines().map(str::to_string).collect()
}

fn train(options: &TrainUnigramOptions) -> Result<Tokenizer> {
    Tokenizer::train_unigram(corpus().into_iter(), options)
}

fn small() -> TrainUnigramOptions {
    TrainUnigramOptions { vocab_size: 220, ..TrainUnigramOptions::default() }
}

/// The names of Google's trainer, as far as the fixtures use them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GooglesOptions {
    vocab_size: usize,
    character_coverage: f32,
    add_dummy_prefix: bool,
    split_digits: bool,
    byte_fallback: bool,
    pad_id: i32,
    unk_id: i32,
    bos_id: i32,
    eos_id: i32,
    control_symbols: Vec<String>,
    user_defined_symbols: Vec<String>,
    normalization_rule_name: String,
}

impl Default for GooglesOptions {
    fn default() -> Self {
        let ours = TrainUnigramOptions::default();
        Self {
            vocab_size: ours.vocab_size,
            character_coverage: ours.character_coverage,
            add_dummy_prefix: ours.add_dummy_prefix,
            split_digits: ours.split_digits,
            byte_fallback: ours.byte_fallback,
            pad_id: ours.pad_id,
            unk_id: ours.unk_id,
            bos_id: ours.bos_id,
            eos_id: ours.eos_id,
            control_symbols: ours.control_symbols,
            user_defined_symbols: ours.user_defined_symbols,
            normalization_rule_name: ours.normalization.name().to_string(),
        }
    }
}

impl From<GooglesOptions> for TrainUnigramOptions {
    fn from(googles: GooglesOptions) -> Self {
        let names = [Normalization::NmtNfkc, Normalization::Nfkc, Normalization::Identity];
        let named = |n: &Normalization| n.name() == googles.normalization_rule_name;
        Self {
            normalization: names.into_iter().find(named).unwrap(),
            vocab_size: googles.vocab_size,
            character_coverage: googles.character_coverage,
            add_dummy_prefix: googles.add_dummy_prefix,
            split_digits: googles.split_digits,
            byte_fallback: googles.byte_fallback,
            pad_id: googles.pad_id,
            unk_id: googles.unk_id,
            bos_id: googles.bos_id,
            eos_id: googles.eos_id,
            control_symbols: googles.control_symbols,
            user_defined_symbols: googles.user_defined_symbols,
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
struct Case {
    options: GooglesOptions,
    special: Vec<String>,
    tokens: usize,
}

fn tokens(tokenizer: &Tokenizer, lines: &[String]) -> usize {
    lines.iter().map(|line| tokenizer.encode_ids(line).unwrap().len()).sum()
}

#[test]
fn the_corpus_becomes_no_more_tokens_than_with_googles_trainer() {
    for case in serde_json::from_str::<Vec<Case>>(CASES).unwrap() {
        let size = case.options.vocab_size;
        let tokenizer = train(&case.options.into()).unwrap();
        assert_eq!(tokenizer.vocab_size(), size);
        let special = tokenizer.special_ids().iter().map(|&id| tokenizer.id_to_token(id).unwrap());
        assert_eq!(special.collect::<Vec<_>>(), case.special, "{size}");
        let found = tokens(&tokenizer, &corpus());
        assert!(found as f64 <= 1.01 * case.tokens as f64, "{size}: {found} {}", case.tokens);
    }
}

#[test]
fn nothing_depends_on_the_number_of_threads() {
    let fingerprint = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&small()).unwrap().fingerprint())
    };
    assert_eq!(fingerprint(1), fingerprint(5));
}

#[test]
fn batches_are_no_border_for_learning() {
    let mut trainer = UnigramTrainer::new(small(), 0).unwrap();
    for line in corpus() {
        trainer.feed(&[line]);
    }
    let by_line = trainer.train(&mut |_| {}).unwrap();
    let mut trainer = UnigramTrainer::new(small(), 0).unwrap();
    trainer.feed(&[corpus().join("\n")]);
    let at_once = trainer.train(&mut |_| {}).unwrap();
    assert_eq!(by_line.fingerprint(), at_once.fingerprint());
}

#[test]
fn a_saved_model_is_the_learned_one() {
    let tokenizer = train(&small()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let mut names: Vec<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["spiece.model", "tokenizer_config.json"]);
    let loaded = Tokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(loaded.fingerprint(), tokenizer.fingerprint());
    assert_eq!((loaded.bos_token_id(), loaded.eos_token_id()), (Some(1), Some(2)));
    assert_eq!(loaded.pad_token_id(), None);
}

#[test]
fn a_sample_is_of_the_size_and_the_seed_that_are_asked_for() {
    let count = |seed, total, wanted| {
        let options = TrainUnigramOptions {
            input_sentence_size: wanted,
            seed,
            ..TrainUnigramOptions::default()
        };
        let mut trainer = UnigramTrainer::new(options, total).unwrap();
        let lines: Vec<String> =
            (0..total).map(|n| format!("w{}", "x".repeat(n as usize))).collect();
        trainer.feed(&lines);
        trainer.words.iter().map(|(word, _)| word.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(count(1, 50, 20).len(), 20);
    assert_eq!(count(1, 50, 20), count(1, 50, 20));
    assert_ne!(count(1, 50, 20), count(2, 50, 20));
    assert_eq!(count(1, 9, 20).len(), 9);
}

#[test]
fn the_first_sentences_are_taken_where_none_are_drawn() {
    let options = TrainUnigramOptions {
        input_sentence_size: 2,
        shuffle_input_sentence: false,
        max_sentence_length: 10,
        ..TrainUnigramOptions::default()
    };
    assert!(!options.samples());
    let mut trainer = UnigramTrainer::new(options, 0).unwrap();
    trainer.feed(&["\n\nkočka\nmuch too long for it\nu\u{2585}\nb", "c"]);
    let words: Vec<_> = trainer.words.iter().map(|(word, _)| word.to_string()).collect();
    assert_eq!(words, ["▁kočka", "▁b"]);
}

#[test]
fn characters_are_covered_as_asked_for() {
    let rare = |options: TrainUnigramOptions| {
        let options = TrainUnigramOptions { vocab_size: 12, hard_vocab_limit: false, ..options };
        let texts = ["aaaaaaaa bbbbbbbb q", "aaaaaaaa bbbbbbbb"].map(str::to_string);
        let tokenizer = Tokenizer::train_unigram(texts.into_iter(), &options).unwrap();
        tokenizer.token_to_id("q").is_some()
    };
    assert!(rare(TrainUnigramOptions { character_coverage: 1.0, ..Default::default() }));
    assert!(!rare(TrainUnigramOptions { character_coverage: 0.9, ..Default::default() }));
    let required_chars = "q".to_string();
    assert!(rare(TrainUnigramOptions {
        character_coverage: 0.9,
        required_chars,
        ..Default::default()
    }));
}

#[test]
fn too_little_text_for_the_vocabulary_is_refused_with_what_would_do() {
    let refused = |texts: &[&str], options: TrainUnigramOptions, words: &str| {
        let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
        let error = Tokenizer::train_unigram(texts.into_iter(), &options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let options = |vocab_size| TrainUnigramOptions { vocab_size, ..Default::default() };
    refused(&[], options(100), "no text to train on");
    refused(&["", "\n"], options(100), "no text to train on");
    refused(&["abcdefgh"], options(10), "`vocab_size` is 10, expected at least 12 (9 characters");
    refused(&["the cat the cat"], options(5000), "too small for a vocabulary of 5000");
    let largest = {
        let texts = ["the cat the cat".to_string()].into_iter();
        let options = TrainUnigramOptions { hard_vocab_limit: false, ..options(5000) };
        Tokenizer::train_unigram(texts, &options).unwrap().vocab_size()
    };
    refused(&["the cat the cat"], options(5000), &format!("at most {largest}"));
}
