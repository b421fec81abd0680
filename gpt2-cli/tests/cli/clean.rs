//! `gpt2 data clean`, and texts that are not UTF-8.

use std::fs;

use serde_json::json;

use super::support::{Place, keys, model, names, read_json};

/// Two files: repetitions, short texts, and Japanese in two forms.
fn corpus(place: &Place) -> [&'static str; 2] {
    let stories = "Kucing tidur di atas meja kayu.\n\nab\n\nKucing tidur  di atas meja\nkayu.\n";
    place.write("a.txt", stories);
    place.write("b.jsonl", "{\"text\":\"「雨だ。」と言った。ｶﾞ行く。\"}\n");
    ["a.txt", "b.jsonl"]
}

#[test]
fn a_corpus_is_cleaned_into_a_folder_with_a_report() {
    let place = Place::new();
    let [a, b] = corpus(&place);
    let options = ["--min-characters", "3", "--dedup", "exact", "--normalize", "nfkc"];
    let clean = ["data", "clean", a, b, "--output", "clean", "--split-sentences"];
    let report = place.json(&[&clean, &options[..]].concat());
    assert_eq!(names(&place.path("clean")), ["00000.txt", "report.json"]);
    let text = fs::read_to_string(place.path("clean/00000.txt")).unwrap();
    assert_eq!(text, "Kucing tidur di atas meja kayu.\n\n「雨だ。」と言った。\nガ行く。\n");
    let expected = [
        "bytes",
        "dropped",
        "kept",
        "normalized",
        "options",
        "read",
        "replaced_lines",
        "seconds",
        "sentences",
        "shards",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!(report["read"], json!({ "documents": 4, "characters": 80 }));
    assert_eq!(report["kept"]["documents"], 2);
    assert_eq!(report["sentences"], 3);
    assert_eq!(report["dropped"]["duplicate"]["examples"][0]["kept"]["line"], 1);
    let mut written = read_json(&place.path("clean/report.json"));
    written["seconds"] = report["seconds"].clone();
    assert_eq!(written, report);

    let shown = place.ok(&["data", "clean", a, "--output", "again", "--dedup", "near"]);
    for part in ["read", "duplicate", "kept", "documents", "characters"] {
        assert!(shown.stdout.contains(part), "{}", shown.stdout);
    }
    assert!(shown.stderr.contains("again holds"), "{}", shown.stderr);
    // What was cleaned is read like any other text.
    let tokens = ["data", "tokenize", "clean", "--tokenizer", &model("bbpe-trained")];
    assert_eq!(place.json(&[&tokens[..], &["--output", "tokens"]].concat())["documents"], 2);
}

#[test]
fn bad_options_and_folders_are_refused() {
    let place = Place::new();
    let [a, b] = corpus(&place);
    fs::create_dir(place.path("full")).unwrap();
    place.write("full/notes.txt", "mine");
    for (options, part) in [
        (&["--output", "full"][..], "full: the folder has content"),
        (&["--output", "x", "--shingle-size", "4"], "`shingle-size` is for `--dedup near` only"),
        (&["--output", "x", "--dedup", "near", "--near-threshold", "1.5"], "`threshold` is 1.5"),
        (
            &["--output", "x", "--split-sentences", "--sentence-marks", "a"],
            "`sentence_marks` is \"a\"",
        ),
        (&["--output", "x", "--min-characters", "999"], "nothing is left of 4 documents"),
        (&["--output", "x", "--shard-bytes", "0"], "`shard_bytes` is 0"),
    ] {
        place.refused(&[&["data", "clean", a, b], options].concat(), &[part]);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_or_replaced_wherever_it_is_read() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    place.write("bad.txt", b"Nenek menanam cabai di kebun.\nSetiap \xE9 pagi.\n");
    place.write("bad.jsonl", b"\n{\"prompt\": \"Nenek \xE9\"}\n");
    place.write("strings.jsonl", b"\"Nenek\"\n\"\xE9\"\n");
    let train =
        ["train", "--model", &folder, "--output", "x", "--block-size", "8", "--max-steps", "1"];
    for (args, part) in [
        (
            &[&train[..], &["--data", "bad.txt"]].concat()[..],
            "bad.txt, line 2: byte 37 of the file",
        ),
        (&["eval", &folder, "--data", "bad.txt"], "bad.txt, line 2: byte 37 of the file"),
        (
            &["data", "tokenize", "--tokenizer", &folder, "--output", "x", "bad.txt"],
            "bad.txt, line 2: byte 37 of the file",
        ),
        (&["data", "clean", "--output", "x", "bad.txt"], "bad.txt, line 2: byte 37 of the file"),
        (
            &["generate", &folder, "--prompts", "bad.jsonl", "--max-new-tokens", "1"],
            "bad.jsonl, line 2: byte 19 of the file",
        ),
        (&["encode", &folder, "--input", "strings.jsonl"], "strings.jsonl, line 2: byte 9"),
    ] {
        place.refused(args, &[part, "is not UTF-8"]);
        place.ok(&[args, &["--encoding-errors", "replace"]].concat());
        let _ = fs::remove_dir_all(place.path("x"));
    }
}
