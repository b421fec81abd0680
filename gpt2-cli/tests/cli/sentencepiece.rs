//! Commands on a model folder with a SentencePiece tokenizer.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::Place;

/// A folder among the fixtures of `gpt2-core`.
fn fixture(name: &str) -> String {
    format!("{}/../gpt2-core/tests/fixtures/sentencepiece/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Hugging Face's kind of folder: 314 pieces, and one added token with the id 400.
fn tokenizer() -> String {
    fixture("hugging_face")
}

const TEXT: &str = "Kucing belang itu tidur di atas karung beras. 台所の窓から小さな庭が見える。\n";

fn config(place: &Place, vocab_size: usize) {
    let config = json!({
        "model_type": "gpt2", "vocab_size": vocab_size, "n_positions": 32, "n_embd": 8, "n_layer": 1,
        "n_head": 2, "bos_token_id": 2, "eos_token_id": 3,
    });
    place.write("config.json", config.to_string());
    place.write("data.txt", TEXT.repeat(20));
}

/// Trains a small model of `tokenizer` for a few steps.
fn train(place: &Place, more: &[&str]) -> super::support::Ran {
    let tokenizer = tokenizer();
    let start = ["train", "--config", "config.json", "--tokenizer", &tokenizer];
    let rest = ["--data", "data.txt", "--block-size", "16", "--output", "out", "--quiet"];
    let run = ["--max-steps", "2", "--learning-rate", "1e-3"];
    place.run(&[&start[..], &rest, &run, more].concat())
}

fn trained() -> Place {
    let place = Place::new();
    config(&place, 401);
    let ran = train(&place, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    place
}

#[test]
fn a_model_is_trained_from_scratch_and_takes_text() {
    let place = trained();
    let info = place.json(&["info", "out"]);
    // Ids between the pieces and the added token are nobody's.
    let expected = json!({ "kind": "sentencepiece", "vocab_size": 315, "unused_embeddings": 86 });
    assert_eq!(info["tokenizer"], expected);
    assert_eq!([&info["config"]["bos_token_id"], &info["config"]["eos_token_id"]], [2, 3]);
    let same = fs::read(place.path("out/spiece.model")).unwrap();
    assert!(same == fs::read(Path::new(&tokenizer()).join("spiece.model")).unwrap());
    let args = ["--prompt", "Kucing tidur", "--max-new-tokens", "4", "--json"];
    let found = place.ok(&[&["generate", "out"], &args[..]].concat()).lines();
    assert!(
        found[0]["sequences"][0]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("Kucing tidur"))
    );
    let loss = place.json(&["eval", "out", "--data", "data.txt", "--block-size", "16"]);
    assert!(loss["loss"].as_f64().is_some_and(|loss| loss > 0.0 && loss < 10.0));
    place.ok(&["next", "out", "--prompt", "Kucing"]);
    place.ok(&["convert", "out", "--output", "copy", "--quiet"]);
    assert!(place.path("copy/spiece.model").is_file());
}

#[test]
fn a_stream_of_text_is_the_text() {
    let place = trained();
    let args = ["generate", "out", "--prompt", "Kucing <s>", "--max-new-tokens", "12"];
    let whole = place.json(&args);
    let streamed = place.ok(&[&args[..], &["--stream"]].concat()).stdout;
    assert_eq!(streamed.trim_end_matches('\n'), whole["sequences"][0]["text"].as_str().unwrap());
}

#[test]
fn a_folder_may_hold_nothing_but_a_model() {
    let place = Place::new();
    fs::create_dir(place.path("tokenizer")).unwrap();
    fs::copy(fixture("bpe_bytes.model"), place.path("tokenizer/some.model")).unwrap();
    let encoded = place.run_with(&["encode", "tokenizer", "--json"], "\"a 🙂\"\n".as_bytes());
    let encoded = encoded.lines().remove(0);
    let ids: Vec<Value> = encoded["ids"].as_array().unwrap().clone();
    let last = encoded["offsets"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((ids.len() >= 6, last), (true, json!([2, 3])));
    let decoded = place.run_with(&["decode", "tokenizer"], format!("{}\n", json!(ids)).as_bytes());
    assert_eq!(decoded.stdout, "a 🙂\n");
}

#[test]
fn a_corpus_is_tokenized_and_trained_on() {
    let place = Place::new();
    config(&place, 401);
    let args = ["data", "tokenize", "data.txt", "--tokenizer", &tokenizer()];
    place.ok(&[&args[..], &["--output", "shards", "--quiet"]].concat());
    let start = ["train", "--config", "config.json", "--tokenizer", &tokenizer()];
    let rest = ["--data", "shards", "--block-size", "16", "--max-steps", "1", "--quiet"];
    place.ok(&[&start[..], &rest, &["--output", "out"]].concat());
}

#[test]
fn a_vocabulary_of_another_size_is_refused_or_the_model_resized() {
    let place = Place::new();
    for (vocab_size, rows) in [(300, 401), (4000, 401)] {
        config(&place, vocab_size);
        let ran = train(&place, &[]);
        ran.assert_refused(
            &[],
            &["401 ids", &format!("vocab_size {vocab_size}"), "--resize-token"],
        );
        let ran = train(&place, &["--resize-token-embeddings"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(place.json(&["info", "out"])["config"]["vocab_size"], rows);
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn a_trained_model_gets_rows_for_new_tokens() {
    let place = trained();
    fs::write(place.path("out/added_tokens.json"), r#"{"<more>":400,"<new>":401}"#).unwrap();
    let base = ["--data", "data.txt", "--block-size", "16", "--max-steps", "1", "--quiet"];
    let args = [&["train", "--model", "out"], &base[..], &["--output", "tuned"]].concat();
    place.refused(&args, &["402 ids", "vocab_size 401", "--resize-token-embeddings"]);
    place.refused(&["generate", "out", "--prompt", "a"], &["up to 401", "vocab_size 401"]);
    place.ok(&[&args[..], &["--resize-token-embeddings"]].concat());
    assert_eq!(place.json(&["info", "tuned"])["config"]["vocab_size"], 402);
    place.ok(&["generate", "tuned", "--prompt", "<new>a", "--max-new-tokens", "2"]);
}

#[test]
fn a_model_is_transferred_to_another_sentencepiece() {
    let place = trained();
    fs::create_dir(place.path("new")).unwrap();
    fs::copy(fixture("unigram.model"), place.path("new/spiece.model")).unwrap();
    let found = place.json(&["transfer", "out", "--tokenizer", "new", "--output", "moved"]);
    let [kept, filled] = ["kept", "filled"].map(|key| found[key].as_u64().unwrap());
    assert!(kept > 50 && kept + filled == 300, "{found}");
    place.ok(&["generate", "moved", "--prompt", "Kucing", "--max-new-tokens", "2"]);
}
