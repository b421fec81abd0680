//! `gpt2 transfer`.

use std::fs;

use serde_json::json;

use super::support::{Place, fixture, keys, model, names, read_json};

/// The tokenizer of another language.
fn tokenizer() -> String {
    fixture("expected/vocab_transfer/new")
}

/// A copy of a fixture's model folder.
fn copy(place: &Place, name: &str, to: &str) {
    fs::create_dir(place.path(to)).unwrap();
    for file in names(model(name).as_ref()) {
        fs::copy(format!("{}/{file}", model(name)), place.path(to).join(file)).unwrap();
    }
}

#[test]
fn the_result_is_a_model_folder_with_the_new_tokenizer() {
    let place = Place::new();
    let args = ["transfer", &model("bbpe-trained"), "--tokenizer", &tokenizer(), "--output", "new"];
    let found = place.json(&args);
    assert_eq!(keys(&found), ["filled", "kept"]);
    let info = place.json(&["info", "new"]);
    let rows = found["kept"].as_u64().unwrap() + found["filled"].as_u64().unwrap();
    assert_eq!(info["config"]["vocab_size"], rows);
    assert_eq!(info["tokenizer"]["vocab_size"], rows);
    for file in names(tokenizer().as_ref()) {
        let written = fs::read(place.path("new").join(&file)).unwrap();
        assert!(written == fs::read(format!("{}/{file}", tokenizer())).unwrap(), "{file}");
    }
    let text = place.ok(&["generate", "new", "--prompt", "a", "--max-new-tokens", "3"]).stdout;
    assert!(text.starts_with('a'), "{text}");
    assert_eq!(place.names(), ["new"]);
}

#[test]
fn a_transferred_model_is_trained_on() {
    let place = Place::new();
    let (source, new) = (model("bbpe-trained"), tokenizer());
    place.ok(&["transfer", &source, "--tokenizer", &new, "--output", "new", "--quiet"]);
    let data = place.write("data.txt", "Uma frase curta. ".repeat(40));
    let args = ["train", "--model", "new", "--data", data, "--block-size", "16"];
    let recipe = ["--max-steps", "8", "--learning-rate", "1e-2", "--output", "tuned", "--quiet"];
    let loss = |folder: &str| {
        place.json(&["eval", folder, "--data", data, "--block-size", "16"])["loss"]
            .as_f64()
            .unwrap()
    };
    place.ok(&[&args[..], &recipe].concat());
    assert!(loss("tuned") < loss("new") - 0.5);
}

#[test]
fn ids_of_the_old_vocabulary_are_not_taken_along() {
    let place = Place::new();
    copy(&place, "bbpe", "source");
    let config = place.path("source/config.json");
    let mut object = read_json(&config);
    object["eos_token_id"] = json!(7);
    object["pad_token_id"] = json!(9);
    object["bad_words_ids"] = json!([[3]]);
    object["custom"] = json!(1);
    fs::write(&config, object.to_string()).unwrap();
    let defaults = json!({ "eos_token_id": [7, 8], "top_k": 5, "suppress_tokens": [4] });
    place.write("source/generation_config.json", defaults.to_string());
    place.ok(&["transfer", "source", "--tokenizer", &tokenizer(), "--output", "new"]);
    let config = read_json(&place.path("new/config.json"));
    assert_eq!((&config["bos_token_id"], &config["eos_token_id"]), (&json!(0), &json!(0)));
    assert_eq!((&config["pad_token_id"], &config["custom"]), (&json!(null), &json!(1)));
    assert!(config.get("bad_words_ids").is_none(), "{config}");
    let defaults = read_json(&place.path("new/generation_config.json"));
    assert_eq!(defaults, json!({ "bos_token_id": 0, "eos_token_id": 0, "top_k": 5 }));
}

#[test]
fn people_read_both_numbers() {
    let place = Place::new();
    let (source, new) = (model("bbpe"), model("bbpe-trained"));
    let ran = place.ok(&["transfer", &source, "--tokenizer", &new, "--output", "new"]);
    assert_eq!(ran.stdout, "kept         384\nfilled       0\n");
    assert_eq!(ran.stderr, "wrote new\n");
}

#[test]
fn what_cannot_be_transferred_is_named_and_nothing_is_written() {
    let place = Place::new();
    let (source, new) = (model("bbpe"), tokenizer());
    copy(&place, "bbpe", "old");
    fs::create_dir(place.path("none")).unwrap();
    place.write("file", "text");
    for (source, tokenizer, output, part) in [
        (source.as_str(), "nowhere", "o", "nowhere: "),
        (&source, "none", "o", "none: there is no tokenizer.json"),
        (&source, &new, "file", "file (a file), expected a new path"),
        (&source, &new, "file/below", "file: cannot create"),
        ("old", &new, "old", "expected another place than old, which is read"),
        (&source, "old", "old", "expected another place than old, which is read"),
        (&model("variants/relu"), &new, "o", "relu: there is no tokenizer.json"),
    ] {
        let args = ["transfer", source, "--tokenizer", tokenizer, "--output", output];
        place.refused(&args, &[part]);
    }
    assert!(names(&place.path("none")).is_empty());
}
