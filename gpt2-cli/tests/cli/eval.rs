//! `gpt2 eval`.

use super::support::{Place, assert_close, expected, keys, model};
use serde_json::Value;

/// The text of the reference evaluation, and its numbers for blocks.
fn reference(place: &Place) -> Value {
    let evaluation = expected("evaluation.json");
    place.write("text.txt", evaluation["text"].as_str().unwrap());
    evaluation["blocks"].clone()
}

#[test]
fn evaluation_in_blocks_gives_the_numbers_of_the_reference() {
    let place = Place::new();
    let (blocks, folder) = (reference(&place), model("bbpe-trained"));
    let size = blocks["block_size"].to_string();
    for device in ["flex", "ndarray"] {
        let args = ["eval", &folder, "--data", "text.txt", "--block-size", &size];
        let found = place.json(&[&args[..], &["--device", device]].concat());
        assert_eq!(keys(&found), ["accuracy", "loss", "perplexity", "seconds", "tokens"]);
        assert_close(&found["loss"], &blocks["loss_f64"], 1e-5);
        assert_close(&found["perplexity"], &blocks["perplexity_f64"], 3e-5);
        assert_close(&found["accuracy"], &blocks["accuracy"], 1e-12);
        assert_eq!(found["tokens"], blocks["predicted_tokens"]);
    }
}

#[test]
fn windows_of_a_stride_score_every_token_but_the_first() {
    let place = Place::new();
    reference(&place);
    let (folder, evaluation) = (model("bbpe-trained"), expected("evaluation.json"));
    let count = evaluation["input_ids"].as_array().unwrap().iter().flat_map(|row| match row {
        Value::Array(row) => row.clone(),
        id => vec![id.clone()],
    });
    let args = ["eval", &folder, "--data", "text.txt", "--block-size", "32"];
    let windows = place.json(&[&args[..], &["--stride", "8"]].concat());
    assert_eq!(windows["tokens"], count.count() - 1);
    let batched = ["--stride", "8", "--per-device-batch-size", "1000000000000000000"];
    assert_close(&place.json(&[&args[..], &batched].concat())["loss"], &windows["loss"], 1e-5);
}

#[test]
fn records_of_tokens_are_used_as_they_are() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    place.write("a.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, -100]}\n");
    assert_eq!(place.json(&["eval", &folder, "--data", "a.jsonl"])["tokens"], 1);
}

#[test]
fn people_get_a_list_and_no_progress_in_a_file() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    place.write("a.txt", "Nenek menanam cabai.");
    let ran = place.ok(&["eval", &folder, "--data", "a.txt"]);
    assert!(ran.stdout.contains("nats per token") && ran.stdout.contains("perplexity"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn sizes_that_do_not_fit_are_named() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    place.write("a.txt", "Nenek menanam cabai.");
    for (options, part) in [
        (&["--block-size", "1"][..], "`block_size` is 1, expected 2 to n_positions = 48"),
        (&["--block-size", "18446744073709551615"], "`block_size` is 18446744073709551615"),
        (&["--block-size", "8", "--stride", "0"], "`stride` is 0, expected 1 to block_size = 8"),
        (&["--block-size", "8", "--stride", "9"], "`stride` is 9"),
    ] {
        place.refused(&[&["eval", &folder, "--data", "a.txt"], options].concat(), &[part]);
    }
}

#[test]
fn bad_data_is_named_by_file_and_place() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    for (name, content, part) in [
        ("empty.txt", &b""[..], "there is no text in this file"),
        ("bad.txt", b"a\n\xff\n", "bad.txt, line 2: byte 2 of the file is not UTF-8"),
        ("text.jsonl", b"{\"text\": 3}\n", "text.jsonl, line 1: not a JSON record"),
        ("keys.jsonl", b"{\"title\": \"a\"}\n", "keys.jsonl, line 1: expected a `text`"),
        ("minus.jsonl", b"{\"input_ids\": [1, -2]}\n", "minus.jsonl, line 1"),
        (
            "large.jsonl",
            b"{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 99999]}\n",
            "large.jsonl, line 2: `input_ids` is token id 99999",
        ),
        (
            "long.jsonl",
            format!("{{\"input_ids\": {:?}}}\n", [1; 49]).as_bytes(),
            "long.jsonl, line 1",
        ),
        ("none.jsonl", b"{\"input_ids\": []}\n", "none.jsonl, line 1"),
        ("label.jsonl", b"{\"input_ids\": [1, 2], \"labels\": [1, -5]}\n", "label -5"),
        ("labels.jsonl", b"{\"input_ids\": [1, 2], \"labels\": [1]}\n", "labels.jsonl, line 1"),
        ("one.jsonl", b"{\"input_ids\": [1]}\n", "no token to predict"),
    ] {
        place.write(name, content);
        place.refused(&["eval", &folder, "--data", name], &[part]);
        place.refused(
            &["train", "--model", &folder, "--data", name, "--output", "trained"],
            &[part],
        );
    }
    place.refused(&["eval", &folder, "--data", "nowhere.txt"], &["nowhere.txt: cannot read"]);
    std::fs::create_dir(place.path("none")).unwrap();
    place.refused(&["eval", &folder, "--data", "none"], &["none: there is no .txt or .jsonl"]);
}
