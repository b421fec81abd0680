//! `gpt2 encode` and `gpt2 decode`.

use serde_json::{Value, json};

use super::support::{Place, expected, model};

/// JSON values as lines.
fn lines<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

#[test]
fn ids_and_offsets_are_those_of_the_reference() {
    let (place, strings) = (Place::new(), expected("tokenization/strings.json"));
    let reference = expected("tokenization/bbpe.json");
    let strings = strings.as_array().unwrap();
    place.write("strings.jsonl", lines(strings));
    for folder in [model("bbpe"), model("bbpe-bin")] {
        let ran = place.ok(&["encode", &folder, "--input", "strings.jsonl", "--json"]);
        let found = ran.lines();
        assert_eq!(found.len(), strings.len());
        for (found, expected) in found.iter().zip(reference["strings"].as_array().unwrap()) {
            let pairs = found["offsets"].as_array().unwrap();
            let flat: Vec<&Value> = pairs.iter().flat_map(|p| p.as_array().unwrap()).collect();
            assert_eq!(found["ids"], expected["ids"]);
            assert_eq!(json!(flat), expected["offsets"], "{expected}");
        }
    }
}

#[test]
fn decoded_text_is_that_of_the_reference() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let reference = expected("tokenization/bbpe.json");
    let cases = reference["decode"].as_array().unwrap();
    let input = lines(cases.iter().map(|case| &case["ids"]));
    for (option, key) in [(&[][..], "text"), (&["--skip-special-tokens"], "text_skip")] {
        let args = [&["decode", &folder, "--json"], option].concat();
        let found = place.run_with(&args, input.as_bytes()).lines();
        let expected: Vec<&Value> = cases.iter().map(|case| &case[key]).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn people_get_ids_and_text() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let ids = place.run_with(&["encode", &folder, "--input", "-"], b"\"abc\"\n\n\"a\"\n").stdout;
    assert_eq!(ids, "65 66 67\n65\n");
    assert_eq!(place.run_with(&["decode", &folder], b"[65, 66, 67]\n").stdout, "abc\n");
}

#[test]
fn a_folder_may_hold_nothing_but_a_tokenizer() {
    let (place, source) = (Place::new(), model("bbpe-bin"));
    std::fs::create_dir(place.path("tokenizer")).unwrap();
    for name in ["vocab.json", "merges.txt"] {
        let copy = place.path("tokenizer").join(name);
        std::fs::copy(format!("{source}/{name}"), copy).unwrap();
    }
    assert_eq!(place.run_with(&["encode", "tokenizer"], b"\"abc\"").stdout, "65 66 67\n");
}

#[test]
fn a_bad_line_is_named() {
    let (place, folder) = (Place::new(), model("bbpe"));
    for (command, input, part) in [
        ("encode", &b"\"a\"\nabc\n"[..], "standard input, line 2: expected a JSON string"),
        ("encode", b"3\n", "line 1: expected a JSON string"),
        ("encode", b"\"\xff\"\n", "line 1: byte 1 of the file is not UTF-8"),
        ("decode", b"[1]\n\n[1, -2]\n", "line 3: expected a JSON list of token ids"),
        ("decode", b"\"a\"\n", "line 1: expected a JSON list of token ids"),
        ("decode", b"[99999999999]\n", "line 1: expected a JSON list of token ids"),
    ] {
        place.run_with(&[command, &folder], input).assert_refused(&[command], &[part]);
    }
    place.refused(&["encode", &folder, "--input", "nowhere"], &["nowhere: cannot read"]);
    place.refused(&["encode", &folder, "--input", "."], &["cannot read"]);
    assert_eq!(place.run_with(&["encode", &folder, "--json"], b"").stdout, "");
}
