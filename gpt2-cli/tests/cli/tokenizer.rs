//! `gpt2 tokenizer train`.

use std::fs;

use serde_json::{Value, json};

use super::support::{Place, keys, names};

/// Lines with words enough for a few hundred tokens, as a `.txt` and as a `.jsonl` file.
fn corpus(place: &Place) {
    let lines: Vec<String> = (0..400)
        .map(|at| {
            let (a, b, c) = (at % 7, at % 11, at % 13);
            format!(
                "Nenek{a} menanam cabai{b} di halaman belakang rumah nomor {c}, {} kali.",
                at * at
            )
        })
        .collect();
    place.write("corpus.txt", lines.join("\n") + "\n");
    let record = |line: &String| format!("{}\n", json!({ "text": line }));
    place.write("corpus.jsonl", lines.iter().map(record).collect::<String>());
}

fn train<'a>(kind: &'a str, size: &'a str, output: &'a str, others: &[&'a str]) -> Vec<&'a str> {
    let start = ["tokenizer", "train", "--kind", kind, "--vocab-size", size, "--output", output];
    [&start[..], others].concat()
}

fn read(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

fn ids(place: &Place, tokenizer: &str, text: &str) -> Value {
    place.write("texts.jsonl", json!(text).to_string());
    place.json(&["encode", tokenizer, "--input", "texts.jsonl"])["ids"].clone()
}

#[test]
fn byte_level_bpe_is_learned_from_files_folders_and_records() {
    let place = Place::new();
    corpus(&place);
    let special = ["--special-token", "<|endoftext|>", "--special-token", "<pad>"];
    let with = |output, file| train("bbpe", "400", output, &[&special[..], &[file]].concat());
    let made = place.json(&with("bbpe", "corpus.txt"));
    assert_eq!(keys(&made), ["seconds", "vocab_size"]);
    assert_eq!(made["vocab_size"], 400);
    let files = [
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ];
    assert_eq!(names(&place.path("bbpe")), files);
    let encoded = ids(&place, "bbpe", "<|endoftext|><pad>Nenek3 menanam");
    assert_eq!(encoded.as_array().unwrap()[..2], [json!(0), json!(1)]);
    assert!(encoded.as_array().unwrap().len() < 8, "{encoded}");

    // A folder is its files; an earlier tokenizer is replaced.
    fs::create_dir(place.path("texts")).unwrap();
    fs::rename(place.path("corpus.txt"), place.path("texts/corpus.txt")).unwrap();
    let before = read(&place, "bbpe/tokenizer.json");
    place.ok(&with("bbpe", "texts"));
    assert_eq!(read(&place, "bbpe/tokenizer.json"), before);
    place.ok(&[&with("bbpe", "texts")[..], &["--min-frequency", "9", "--threads", "1"]].concat());
    assert_ne!(read(&place, "bbpe/tokenizer.json"), before);
    // A record is a text without a line end.
    assert_eq!(place.json(&with("records", "corpus.jsonl"))["vocab_size"], 400);
}

#[test]
fn a_unigram_model_is_learned_with_the_names_of_googles_options() {
    let place = Place::new();
    corpus(&place);
    let ids_of_roles = ["--pad-id", "0", "--unk-id", "1", "--bos-id", "2", "--eos-id", "3"];
    let symbols = [
        "--control-symbol",
        "<cls>",
        "--control-symbol",
        "<sep>",
        "--user-defined-symbol",
        "rumah",
    ];
    let others = [
        "--add-dummy-prefix",
        "false",
        "--input-sentence-size",
        "300",
        "--seed",
        "5",
        "--normalization",
        "nfkc",
        "--character-coverage",
        "1",
        "corpus.txt",
    ];
    let options = [&ids_of_roles[..], &symbols, &others].concat();
    let made = place.json(&train("unigram", "120", "unigram", &options));
    assert_eq!(keys(&made), ["seconds", "vocab_size"]);
    assert_eq!(made["vocab_size"], 120);
    assert_eq!(names(&place.path("unigram")), ["spiece.model", "tokenizer_config.json"]);
    // No dummy prefix: a symbol of the user's at the beginning is one token.
    assert_eq!(ids(&place, "unigram", "rumah"), json!([6]));
    assert_eq!(ids(&place, "unigram", "</s>"), json!([3]));
    assert_eq!(ids(&place, "unigram", "語"), json!([1]));
    // The same options give the same model, another seed another one.
    place.ok(&[&train("unigram", "120", "again", &options)[..], &["--threads", "3"]].concat());
    assert_eq!(read(&place, "again/spiece.model"), read(&place, "unigram/spiece.model"));
    let options: Vec<&str> = options.iter().map(|&o| if o == "5" { "6" } else { o }).collect();
    place.ok(&train("unigram", "120", "other", &options));
    assert_ne!(read(&place, "other/spiece.model"), read(&place, "unigram/spiece.model"));
}

#[test]
fn memory_can_be_limited() {
    let place = Place::new();
    let letters = |at: u64| {
        let hash = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..16).map(|place| char::from(b'a' + (hash >> (4 * place) & 15) as u8)).collect()
    };
    let rare: Vec<String> = (0..300_000).map(letters).collect();
    place.write("corpus.txt", format!("{}\n{}", "often ".repeat(50), rare.join("\n")));
    let ran = place.ok(&train("bbpe", "260", "bbpe", &["--memory-limit", "64M", "corpus.txt"]));
    assert!(ran.stderr.contains("rare words were forgotten"), "{}", ran.stderr);
    let quiet =
        place.ok(&train("bbpe", "260", "bbpe", &["--memory-limit", "2G", "corpus.txt", "--quiet"]));
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.as_str()), ("", "vocab_size   260\n"));
}

#[test]
fn bad_input_is_refused_and_nothing_is_written() {
    let place = Place::new();
    corpus(&place);
    place.write("empty.txt", "");
    place.write("bad.txt", b"fine\nnot \xff fine\n");
    place.write("tokens.jsonl", "{\"input_ids\": [1]}\n");
    let refused = |kind, size, others: &[&str], parts: &[&str]| {
        place.refused(&train(kind, size, "new", others), parts);
    };
    for kind in ["bbpe", "unigram"] {
        refused(kind, "400", &["empty.txt"], &["no text to train on"]);
        refused(kind, "400", &["bad.txt"], &["bad.txt", "UTF-8"]);
        refused(kind, "400", &["tokens.jsonl"], &["tokens.jsonl, line 1", "`text`"]);
        refused(kind, "400", &["nowhere.txt"], &["nowhere.txt: cannot read"]);
        refused(kind, "5000000", &["corpus.txt"], &["`vocab_size` is 5000000"]);
        let hard = ["--hard-vocab-limit", "true", "corpus.txt"];
        refused(kind, "30000", &hard, &["too small for a vocabulary of 30000", "at most"]);
        refused(
            kind,
            "400",
            &["--memory-limit", "1M", "corpus.txt"],
            &["`memory_limit` is 1048576"],
        );
        let twice = ["--special-token", "<a>", "--special-token", "<a>", "corpus.txt"];
        refused(
            kind,
            "400",
            &twice,
            &["_symbols` is", "distinct"].map(|p| if kind == "bbpe" { "distinct" } else { p }),
        );
        refused(kind, "400", &["--special-token", "", "corpus.txt"], &["empty"]);
    }
    refused("bbpe", "200", &["corpus.txt"], &["`vocab_size` is 200", "256 (256 bytes"]);
    refused("bbpe", "400", &["--pad-id", "0", "corpus.txt"], &["`kind` is bbpe"]);
    refused("unigram", "400", &["--min-frequency", "2", "corpus.txt"], &["`min-frequency`"]);
    refused("unigram", "20", &["corpus.txt"], &["`vocab_size` is 20", "characters"]);
    refused(
        "unigram",
        "400",
        &["--character-coverage", "1.1", "corpus.txt"],
        &["`character_coverage` is 1.1"],
    );
    refused("unigram", "400", &["--unk-id", "-1", "corpus.txt"], &["`unk_id` is -1"]);
    refused("unigram", "400", &["--eos-id", "400", "corpus.txt"], &["`eos_id` is 400"]);
    refused("unigram", "400", &["--eos-id", "1", "corpus.txt"], &["`eos_id` is 1", "<s>"]);
}

#[test]
fn a_folder_with_anything_else_is_left_alone() {
    let place = Place::new();
    corpus(&place);
    fs::create_dir(place.path("model")).unwrap();
    place.write("model/config.json", "{\"model_type\": \"gpt2\"}");
    let args = train("bbpe", "300", "model", &["corpus.txt"]);
    place.refused(&args, &["model (a folder with config.json)", "a tokenizer alone"]);
    place.refused(&train("bbpe", "300", ".", &["corpus.txt"]), &["corpus.txt"]);
}
