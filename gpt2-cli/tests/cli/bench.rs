//! `gpt2 bench`.

use serde_json::{Value, json};

use super::support::{Place, keys, model, read_json};

/// `config.json` of a model that takes no time, with a context of this length.
fn config(place: &Place, n_positions: usize) -> &'static str {
    let mut config = read_json(format!("{}/config.json", model("bbpe")).as_ref());
    for (key, value) in [("n_positions", n_positions), ("vocab_size", 40), ("n_embd", 8)] {
        config[key] = json!(value);
    }
    place.write("config.json", config.to_string())
}

fn what(line: &Value) -> &str {
    line["what"].as_str().unwrap()
}

/// Checks keys and ranges of a measurement.
fn check(line: &Value) {
    assert_eq!(keys(line), ["dtype", "peak_memory_bytes", "unit", "value", "what"]);
    assert_eq!(line["dtype"], "f32");
    assert!(line["value"].as_f64().unwrap() > 0.0, "{line}");
    let unit = if what(line).starts_with("first token") { "s" } else { "tok/s" };
    assert_eq!(line["unit"], unit);
    if cfg!(target_os = "linux") {
        assert!(line["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{line}");
    }
}

#[test]
fn everything_is_measured_by_default_one_line_each() {
    let place = Place::new();
    let config = config(&place, 1024);
    let lines = place.ok(&["bench", "--config", config, "--repeats", "1", "--json"]).lines();
    lines.iter().for_each(check);
    let expected = [
        "train 1x256",
        "train 4x256",
        "train 1x1024",
        "prefill 1x256",
        "prefill 4x256",
        "prefill 1x1024",
        "decode batch 1",
        "decode batch 8",
        "first token 1x512",
    ];
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), expected);
    assert_eq!(place.names(), ["config.json"]);
}

#[test]
fn weights_in_fewer_bits_are_measured_and_named() {
    let place = Place::new();
    let config = config(&place, 96);
    let common = ["bench", "--config", config, "--repeats", "1", "--json"];
    for (option, value) in [("--quantize", "int8"), ("--quantize", "int4"), ("--dtype", "bf16")] {
        let lines = place.ok(&[&common[..], &[option, value]].concat()).lines();
        assert_eq!(
            lines.iter().map(what).collect::<Vec<_>>(),
            ["decode batch 1", "decode batch 8"]
        );
        assert!(lines.iter().all(|line| line["dtype"] == value), "{lines:?}");
        let train = [option, value, "--only", "train", "--seq", "8"];
        place.refused(&[&common[..], &train].concat(), &["training needs weights of f32"]);
    }
}

#[test]
fn a_small_context_gets_what_it_has_room_for() {
    let place = Place::new();
    let config = config(&place, 79); // 16 tokens, and 64 new ones, the last of which is not read
    let args = ["bench", "--config", config, "--repeats", "1", "--json"];
    let lines = place.ok(&args).lines();
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), ["decode batch 1", "decode batch 8"]);
    let parts = ["`seq` is 256 in `train 1x256`", "at most n_positions = 48"];
    place.refused(&["bench", &model("bbpe")], &parts);
}

#[test]
fn batch_and_length_are_those_that_were_asked_for() {
    let (place, model) = (Place::new(), model("bbpe"));
    let config = config(&place, 200);
    for (subject, options, expected) in [
        (&[&model[..]][..], &["--only", "train", "--batch", "2", "--seq", "9"][..], "train 2x9"),
        (&[&model], &["--only", "train", "--seq", "9", "--dropout", "0"], "train 1x9"),
        (&[&model], &["--only", "prefill", "--seq", "48", "--device", "ndarray"], "prefill 1x48"),
        (&[&model], &["--only", "first-token", "--batch", "3", "--seq", "5"], "first token 3x5"),
        (&["--config", config], &["--only", "decode", "--batch", "3"], "decode batch 3"),
        (&["--config", config], &["--only", "decode", "--seq", "137"], "decode batch 1"),
    ] {
        let args = [&["bench"], subject, options, &["--repeats", "2", "--threads", "1"]].concat();
        let line = place.json(&args);
        check(&line);
        assert_eq!(what(&line), expected);
    }
    let args = ["bench", "--config", config, "--seq", "100", "--repeats", "1", "--json"];
    let lines = place.ok(&args).lines();
    let expected = ["train 1x100", "prefill 1x100", "decode batch 1", "first token 1x100"];
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), expected);
}

#[test]
fn people_get_a_table() {
    let (place, model) = (Place::new(), model("bbpe"));
    let table = place.ok(&["bench", &model, "--only", "prefill", "--seq", "8"]).stdout;
    for part in ["prefill 1x8", "tok/s", "f32", "peak memory"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (place, model) = (Place::new(), model("bbpe"));
    for (options, parts) in [
        (&["--seq", "49"][..], &["`seq` is 49 in `train 1x49`", "n_positions = 48"][..]),
        (&["--only", "decode"], &["`seq` is 16 with 63 behind", "n_positions = 48"]),
        (&["--only", "train", "--seq", "1"], &["no token to predict"]),
        (&["--only", "train", "--seq", "8", "--dropout", "1"], &["`dropout` is 1", "[0, 1)"]),
        (&["--only", "prefill", "--dropout", "0"], &["`dropout` is for training alone"]),
        (&["--batch", "4294967296", "--seq", "8"], &["`batch` is 4294967296", "at most"]),
    ] {
        place.refused(&[&["bench", &model], options].concat(), parts);
    }
    // What goes wrong in a process of its own is told by the first one.
    let args = ["bench", "--config", config(&place, 100), "--seq", "1"];
    place.refused(&args, &["no token to predict"]);
    place.refused(&["bench", "--config", "nowhere.json"], &["nowhere.json"]);
}
