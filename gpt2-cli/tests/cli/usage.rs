//! Bad usage, options of every command, help.

use super::support::{Place, keys, model};

/// Every command, with the least that it needs.
fn commands(model: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["devices"],
        vec!["info", model],
        vec!["generate", model, "--prompt", "a"],
        vec!["next", model, "--prompt", "a"],
        vec!["features", model, "--prompt", "a"],
        vec!["eval", model, "--data", "a.txt"],
        vec!["forward", model, "--input", "i", "--output", "o"],
        vec!["encode", model],
        vec!["decode", model],
        vec!["data", "tokenize", "--tokenizer", model, "--output", "o", "a.txt"],
        vec!["train", "--model", model, "--data", "a.txt", "--output", "o"],
        vec!["transfer", model, "--tokenizer", model, "--output", "o"],
        vec!["convert", model, "--output", "o"],
        vec!["bench", model],
    ]
}

#[test]
fn unknown_options_are_refused_as_bad_usage() {
    let (place, model) = (Place::new(), model("bbpe"));
    for command in commands(&model) {
        let ran = place.run(&[&command[..], &["--no-such-option"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command:?}");
        assert!(ran.stderr.contains("--no-such-option"), "{}", ran.stderr);
    }
    assert!(place.names().is_empty());
}

#[test]
fn bad_usage_ends_with_code_2() {
    let (place, model) = (Place::new(), model("bbpe"));
    for args in [
        &[][..],
        &["fly"],
        &["info"],
        &["devices", "extra"],
        &["devices", "--threads", "0"],
        &["devices", "--threads", "100000"],
        &["generate", &model],
        &["generate", &model, "--prompt", "a", "--prompt-ids", "1"],
        &["generate", &model, "--prompt-ids", "1,x"],
        &["generate", &model, "--prompt-ids", "-1"],
        &["generate", &model, "--prompt", "a", "--stream", "--json"],
        &["generate", &model, "--prompt", "a", "--max-new-tokens", "18446744073709551616"],
        &["generate", &model, "--prompt", "a", "--temperature", "nan"],
        &["generate", &model, "--prompt", "a", "--top-p", "inf"],
        &["generate", &model, "--prompt", "a", "--repetition-penalty", "-inf"],
        &["next", &model],
        &["eval", &model],
        &["eval", &model, "--data", "a.txt", "--per-device-batch-size", "0"],
        &["convert", &model],
        &["bench"],
        &["bench", &model, "--config", "c"],
        &["bench", &model, "--only", "everything"],
        &["bench", &model, "--batch", "0"],
        &["bench", &model, "--repeats", "0"],
        &["bench", &model, "--dropout", "nan"],
        &["bench", &model, "--peak-tflops", "0"],
        &["bench", &model, "--peak-gbs", "fast"],
        &["data"],
        &["data", "tokenize", "--tokenizer", &model, "--output", "o"],
        &["data", "tokenize", "--tokenizer", &model, "a.txt"],
        &["data", "tokenize", "--output", "o", "a.txt"],
        &["data", "wiki", "--output", "o"],
        &["data", "wiki", "a.xml.bz2"],
        &["data", "wiki", "a.xml.bz2", "--output", "o", "--limit", "0"],
        &["data", "wiki", "a.xml.bz2", "--output", "o", "--format", "csv"],
        &["transfer", &model, "--output", "o"],
        &["transfer", &model, "--tokenizer", &model],
        &["convert", &model, "--output", "o", "--dtype", "int8"],
        &["train", "--model", &model, "--data", "a.txt"],
        &["train", "--data", "a.txt", "--output", "o"],
        &["train", "--config", "c", "--data", "a.txt", "--output", "o"],
        &["train", "--model", &model, "--config", "c", "--data", "a.txt", "--output", "o"],
        &["train", "--model", &model, "--data", "a.txt", "--output", "o", "--clip", "hard"],
        &["train", "--model", &model, "--data", "a.txt", "--output", "o", "--dtype", "int8"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{args:?}");
    }
    assert!(place.names().is_empty());
}

#[test]
fn the_help_of_every_command_names_its_options_and_defaults() {
    let place = Place::new();
    for (command, parts) in [
        ("devices", &["--device", "--threads"][..]),
        ("info", &["<MODEL>", "--json"]),
        ("generate", &["--prompts", "--max-new-tokens", "--do-sample", "--stream", "--seed"]),
        (
            "generate",
            &["--early-stopping[=<WHEN>]", "alone it is true", "values: true, false, never]"],
        ),
        ("next", &["--top", "[default: 1]", "--processed"]),
        ("eval", &["--block-size", "--stride", "[default: 8]", "[default: the model's context]"]),
        ("forward", &["--hidden-states", "--attentions", "--gradients"]),
        ("encode", &["--input", "[default: -]"]),
        ("decode", &["--skip-special-tokens"]),
        (
            "train",
            &[
                "--num-train-epochs",
                "[default: 3]",
                "[default: linear]",
                "--no-shuffle",
                "--recipe",
            ],
        ),
        ("transfer", &["<MODEL>", "--tokenizer <DIR>", "--output <DIR>"]),
        ("convert", &["--dtype", "[default: f32]"]),
        ("bench", &["--only", "first-token", "--batch", "--repeats", "[default: 5]"]),
    ] {
        let help = place.ok(&[command, "--help"]).stdout;
        for part in parts {
            assert!(help.contains(part), "{command}: no {part} in {help}");
        }
    }
}

#[test]
fn devices_are_listed_with_one_default() {
    let place = Place::new();
    let lines = place.ok(&["devices", "--json"]).lines();
    for line in &lines {
        match line["kind"] == "cpu" {
            true => assert_eq!(keys(line), ["default", "kind", "name"]),
            false => {
                assert_eq!(keys(line), ["adapter", "api", "default", "driver", "kind", "name"]);
            }
        }
    }
    assert!(!lines.iter().any(|line| line["kind"] == "software" && line["default"] == true));
    assert_eq!(lines.iter().filter(|line| line["default"] == true).count(), 1);
    assert!(lines.iter().any(|line| line["name"] == "flex" && line["kind"] == "cpu"));
    assert!(lines.iter().any(|line| line["name"] == "ndarray"));
    let text = place.ok(&["devices"]).stdout;
    assert_eq!(text.lines().count(), lines.len());
    assert!(text.contains("(default)"), "{text}");
}

#[test]
fn a_software_renderer_is_taken_where_it_is_asked_for_and_said_to_be_one() {
    let place = Place::new();
    let lines = place.ok(&["devices", "--json"]).lines();
    for line in lines.iter().filter(|line| line["kind"] == "software") {
        let name = line["name"].as_str().unwrap();
        let ran = place.ok(&["devices", "--device", name]);
        let note = format!("{} is a software renderer", line["adapter"].as_str().unwrap());
        assert!(ran.stderr.contains(&note), "{}", ran.stderr);
        assert_eq!(place.ok(&["devices", "--device", name, "--quiet"]).stderr, "");
    }
}

#[test]
fn numbers_beyond_the_adapters_are_refused() {
    let place = Place::new();
    for name in ["wgpu:77", "vulkan:77", "metal:77", "dx12:77", "cuda:77", "wgpu:", "flex:0"] {
        let named = format!("device `{name}` is not available");
        let parts = [named.as_str(), "flex, ndarray"];
        place.refused(&["devices", "--device", name], &parts);
    }
}

#[test]
fn a_device_that_is_not_there_is_refused_by_every_command() {
    let (place, model) = (Place::new(), model("bbpe"));
    for command in commands(&model) {
        let args = [&command[..], &["--device", "abacus"]].concat();
        place.refused(&args, &["device `abacus` is not available", "flex, ndarray"]);
    }
}

#[test]
fn every_device_and_number_of_threads_gives_the_same_text() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    let text = |options: &[&str]| {
        place.ok(&[&["generate", &model, "--prompt", "Nenek"], options].concat()).stdout
    };
    let first = text(&[]);
    assert_eq!(first, text(&["--device", "ndarray"]));
    assert_eq!(first, text(&["--device", "flex", "--threads", "1"]));
    assert_eq!(first, text(&["--threads", "64", "--quiet"]));
}

#[test]
fn what_is_no_model_folder_is_named() {
    let place = Place::new();
    place.write("file", "");
    std::fs::create_dir(place.path("empty")).unwrap();
    for (name, part) in [
        ("nowhere", "nowhere: "),
        ("no/where", "no/where: "),
        ("file", "file: a file, expected a model folder"),
        ("empty", "empty: there is no config.json"),
    ] {
        place.refused(&["info", name], &[part]);
        place.refused(&["generate", name, "--prompt", "a"], &[part]);
        place.refused(&["convert", name, "--output", "o"], &[part]);
        place.refused(&["transfer", name, "--tokenizer", name, "--output", "o"], &[part]);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_who_goes_away_is_no_failure() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpt2"))
        .args(["next", &model("bbpe"), "--prompt", "a", "--top", "1000000000000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut message = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut message).unwrap();
    assert_eq!((child.wait().unwrap().code(), message.as_str()), (Some(0), ""));
}
