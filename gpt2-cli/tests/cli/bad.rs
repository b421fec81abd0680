//! Malformed and hostile model folders.

use super::support::{Place, fixture, names};

/// Folders that are no fault of `info`, which reads no weights: a single one is not a number.
const FOUND_WITH_THE_WEIGHTS: &str = "st-nan";

/// The file at fault, or the folder where it is missing, by the first part of the case's name.
fn culprit(case: &str) -> &'static str {
    match case.split('-').next().unwrap() {
        _ if case.ends_with("-missing") => "there is no ",
        "bin" if case.starts_with("bin-index") => "pytorch_model.bin.index.json: ",
        "bin" => "pytorch_model.bin: ",
        "config" => "config.json: ",
        "gen" => "generation_config.json: `",
        "h5" => "tf_model.h5: ",
        "index" => "model.safetensors.index.json: ",
        "sp" => "spiece.model: ",
        "st" => "model.safetensors: ",
        // One of several files, or two that do not fit each other.
        "tok" => "tok-",
        other => panic!("{other} is no family of bad folders"),
    }
}

/// Runs a command over every bad folder; where it refuses, nothing may be left behind.
fn each(run: impl Fn(&Place, &str, &str)) {
    let cases = names(fixture("bad").as_ref());
    assert!(cases.len() > 70, "{}", cases.len());
    for case in cases {
        let place = Place::new();
        run(&place, &case, &fixture(&format!("bad/{case}")));
        assert!(!place.path("PWNED").exists(), "{case}: code was run");
    }
}

#[test]
fn info_refuses_every_bad_folder_and_names_the_file() {
    each(|place, case, folder| {
        if case == FOUND_WITH_THE_WEIGHTS {
            place.ok(&["info", folder]);
        } else if case == "tok-missing-byte" {
            // The tokenizer works but for one letter; the folder has no weights.
            place.refused(&["info", folder], &["there is no model.safetensors"]);
        } else {
            place.refused(&["info", folder], &[case, culprit(case)]);
        }
    });
}

#[test]
fn generate_refuses_every_bad_folder() {
    each(|place, case, folder| {
        let args = ["generate", folder, "--prompt-ids", "1,2", "--do-sample", "--json"];
        let file = if case.starts_with("gen-") { culprit(case) } else { "error: " };
        place.refused(&args, &[case, file]);
    });
}

#[test]
fn convert_refuses_every_bad_folder_and_writes_nothing() {
    each(|place, case, folder| {
        place.refused(&["convert", folder, "--output", "converted"], &[case]);
    });
}

#[test]
fn transfer_refuses_every_bad_folder_and_writes_nothing() {
    let tokenizer = fixture("expected/vocab_transfer/new");
    each(|place, case, folder| {
        place.refused(&["transfer", folder, "--tokenizer", &tokenizer, "--output", "new"], &[case]);
    });
}

#[test]
fn training_on_a_bad_folder_is_refused_and_writes_nothing() {
    each(|place, case, folder| {
        place.write("a.jsonl", r#"{"input_ids": [1, 2, 3]}"#);
        let args = ["train", "--model", folder, "--data", "a.jsonl", "--output", "trained"];
        place.refused(&args, &[case]);
    });
}

#[test]
fn a_vocabulary_without_a_byte_refuses_text_with_it() {
    let (place, folder) = (Place::new(), fixture("bad/tok-missing-byte"));
    let ran = place.run_with(&["encode", &folder], b"\"zebra\"\n");
    ran.assert_refused(&[], &["cannot encode 'z'"]);
}
