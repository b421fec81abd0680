//! `gpt2 data tokenize`, and training and evaluation on what it makes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Place, assert_close, content, keys, model, names, read_json};

/// A folder with three files of stories, 36 in all.
fn corpus(place: &Place) -> &'static str {
    fs::create_dir_all(place.path("stories/more")).unwrap();
    let story = |at: usize| format!("{} menanam cabai di kebun {at}.", ["Nenek", "Budi"][at % 2]);
    let record = |at| format!("{}\n", json!({ "text": story(at) }));
    let paragraph = |at| format!("{}\nSetiap pagi.\n\n", story(at));
    place.write("stories/b.jsonl", (0..12).map(record).collect::<String>());
    place.write("stories/c.txt", (12..24).map(paragraph).collect::<String>());
    place.write("stories/more/a.txt", (24..36).map(paragraph).collect::<String>());
    place.write("stories/notes.md", "not a story");
    "stories"
}

fn losses(place: &Place, output: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(output).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("loss").is_some()).map(|line| line["loss"].clone()).collect()
}

/// Arguments of a short run on `data`.
fn train<'a>(model: &'a str, data: &[&'a str], output: &'a str) -> Vec<&'a str> {
    let start = ["train", "--model", model, "--output", output, "--block-size", "16", "--data"];
    let recipe = ["--max-steps", "4", "--per-device-batch-size", "4"];
    [&start[..], data, &recipe].concat()
}

#[test]
fn a_folder_of_shards_trains_as_its_texts_do() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    let stories = corpus(&place);
    for (index, options) in [
        &["--valid-fraction", "0.25"][..],
        &["--valid-lines", "10", "--test-lines", "9"],
        &["--document-separator", "none"],
        &[],
    ]
    .into_iter()
    .enumerate()
    {
        let [text, tokens, shards] = ["text", "tokens", "shards"].map(|n| format!("{n}{index}"));
        let tokenize = ["data", "tokenize", "--tokenizer", &model, "--output", &tokens, stories];
        let made = place.json(&[&tokenize, options, &["--shard-tokens", "100"]].concat());
        assert_eq!(keys(&made), ["documents", "seconds", "shards", "splits", "tokens"]);
        let from_text = place.json(&[&train(&model, &[stories], &text), options].concat());
        let from_shards = place.json(&train(&model, &[&tokens], &shards));
        assert_eq!(losses(&place, &text), losses(&place, &shards), "{options:?}");
        for field in ["last", "test"] {
            let loss = |summary: &Value| {
                let found = &summary[field];
                found.get("eval_loss").or(found.get("loss")).cloned()
            };
            let by_lines = options.contains(&"--valid-lines");
            let has = by_lines || field == "last" && options.contains(&"--valid-fraction");
            assert_eq!(loss(&from_text).is_some(), has, "{options:?} {field}");
            assert_eq!(loss(&from_text), loss(&from_shards), "{options:?} {field}");
        }
    }
}

#[test]
fn files_folders_and_patterns_are_the_same_data() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    corpus(&place);
    let files = ["stories/b.jsonl", "stories/c.txt", "stories/more/a.txt"];
    let eval = |data: &[&str]| {
        place.json(&[&["eval", &model, "--data"], data].concat())["loss"].as_f64().unwrap()
    };
    let expected = eval(&files);
    for data in [&["stories"][..], &["stories/*.jsonl", "stories/**/*.txt"]] {
        assert_eq!(eval(data), expected);
        place.ok(&train(&model, data, &format!("from{}", data.len())));
    }
    assert_eq!(losses(&place, "from1"), losses(&place, "from2"));
    // A folder of texts may have a file of this name.
    place.write("stories/manifest.json", "{}");
    assert_eq!(eval(&["stories"]), expected);
    let joined = place.json(&["eval", &model, "--data", "stories", "--document-separator", "none"]);
    assert_ne!(joined["loss"], expected);
}

#[test]
fn lines_are_held_out_as_head_and_tail_have_them() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    corpus(&place);
    let text = ["stories/c.txt", "stories/more/a.txt"]
        .map(|file| fs::read_to_string(place.path(file)).unwrap());
    let all: String = text.concat();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    place.write("valid.txt", lines[..10].concat());
    place.write("test.jsonl", format!("{}\n", json!({ "text": lines[10..12].concat().trim() })));
    place.write("rest.txt", lines[12..].concat());
    let held_out = ["--valid-lines", "10", "--test-lines", "2"];
    let data = ["stories/c.txt", "stories/more/a.txt"];
    let by_lines = place.json(&[&train(&model, &data, "lines")[..], &held_out].concat());
    let by_files = place.json(
        &[&train(&model, &["rest.txt"], "files")[..], &["--valid-data", "valid.txt"]].concat(),
    );
    assert_eq!(losses(&place, "lines"), losses(&place, "files"));
    assert_eq!(by_lines["last"]["eval_loss"], by_files["last"]["eval_loss"]);
    assert_eq!(keys(&by_lines["test"]), ["accuracy", "loss", "perplexity", "seconds", "tokens"]);
    let test = place.json(&["eval", "lines", "--data", "test.jsonl", "--block-size", "16"]);
    assert_close(&by_lines["test"]["loss"], &test["loss"], 1e-6);
    assert_eq!(by_lines["test"]["tokens"], test["tokens"]);
    assert_eq!(by_files.get("test"), None);
    let printed = place.ok(&[&train(&model, &data, "lines")[..], &held_out].concat()).stdout;
    assert!(printed.contains("Test: loss "), "{printed}");
}

#[test]
fn parts_of_shards_are_evaluated_by_name() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    let stories = corpus(&place);
    let tokenize = ["data", "tokenize", "--tokenizer", &model, stories, "--output"];
    place.ok(&[&tokenize[..], &["parts", "--valid-lines", "3"]].concat());
    place.ok(&[&tokenize[..], &["whole"]].concat());
    let eval = ["eval", &model, "--data"];
    place.json(&[&eval[..], &["whole"]].concat());
    let valid = place.json(&[&eval[..], &["parts", "--split", "valid"]].concat());
    let head: String = fs::read_to_string(place.path("stories/b.jsonl"))
        .unwrap()
        .split_inclusive('\n')
        .take(3)
        .collect();
    place.write("head.jsonl", head);
    assert_eq!(place.json(&[&eval[..], &["head.jsonl"]].concat())["loss"], valid["loss"]);
    place.refused(&[&eval[..], &["parts"]].concat(), &["parts: expected `--split`: train, valid"]);
    place.refused(&[&eval[..], &["parts", "--split", "test"]].concat(), &["no test part"]);
    place.refused(&[&eval[..], &["head.jsonl", "--split", "test"]].concat(), &["`split` is for"]);
    place.refused(&[&eval[..], &["whole", "--stride", "8"]].concat(), &["`stride` is for texts"]);
    place.refused(&[&eval[..], &["whole", stories]].concat(), &["whole: a folder made by"]);
    let separator = ["whole", "--document-separator", "none"];
    place.refused(&[&eval[..], &separator].concat(), &["`document-separator`: whole was"]);
    // What was held out before can be what another run is measured with.
    let by_shards = [&train(&model, &["whole"], "a")[..], &["--valid-data", "parts"]].concat();
    let by_text = [&train(&model, &["whole"], "b")[..], &["--valid-data", "head.jsonl"]].concat();
    let loss = |args: &[&str]| place.json(args)["last"]["eval_loss"].clone();
    assert_eq!(loss(&by_shards), loss(&by_text));
}

#[test]
fn what_cannot_be_tokenized_or_trained_on_is_named_and_nothing_is_written() {
    let (place, bbpe, trained) = (Place::new(), model("bbpe"), model("bbpe-trained"));
    let stories = corpus(&place);
    fs::create_dir(place.path("empty")).unwrap();
    place.write("ids.jsonl", "{\"input_ids\": [1, 2]}\n");
    let tokenize = ["data", "tokenize", "--tokenizer", &bbpe, "--output", "o"];
    for (options, part) in [
        (&["nowhere.txt"][..], "nowhere.txt: cannot read"),
        (&["empty"], "empty: there is no .txt or .jsonl file"),
        (&["*.pdf"], "*.pdf: no file matches"),
        (&["ids.jsonl"], "ids.jsonl, line 1: a record of `input_ids`"),
        (&[stories, "--valid-lines", "1000"], "there are 84 lines, expected more"),
        (&[stories, "--valid-fraction", "1"], "`valid_fraction` is 1"),
        (&[stories, "--shard-tokens", "0"], "`shard_tokens` is 0"),
    ] {
        place.refused(&[&tokenize[..], options].concat(), &[part]);
    }
    place.refused(
        &["data", "tokenize", "--tokenizer", "empty", "--output", "o", stories],
        &["empty"],
    );
    place.refused(
        &["data", "tokenize", "--tokenizer", &bbpe, "--output", stories, stories],
        &["`output`"],
    );
    for data in ["nowhere.txt", "empty", "*.pdf"] {
        place.refused(&train(&trained, &[data], "o"), &[data]);
        place.refused(&["eval", &trained, "--data", data], &[data]);
    }
    place.ok(&["data", "tokenize", "--tokenizer", &bbpe, "--output", "tokens", stories]);
    let held_out = [&train(&trained, &["tokens"], "o")[..], &["--valid-lines", "3"]].concat();
    place.refused(&held_out, &["`valid-lines`: tokens was tokenized before"]);
    let other = ["data", "tokenize", "--tokenizer", &bbpe, "--output", "tokens", "stories/c.txt"];
    place.refused(&other, &["tokens: it holds shards of another job", "b.jsonl"]);
    place.ok(&[&other[..], &["--overwrite"]].concat());
}

#[test]
fn shards_of_another_tokenizer_are_refused() {
    let (place, model) = (Place::new(), model("bbpe-trained"));
    let stories = corpus(&place);
    place.ok(&["data", "tokenize", "--tokenizer", &model, "--output", "tokens", stories]);
    let copy = place.path("other");
    fs::create_dir(&copy).unwrap();
    for name in names(std::path::Path::new(&model)) {
        fs::copy(std::path::Path::new(&model).join(&name), copy.join(&name)).unwrap();
    }
    let path = copy.join("tokenizer_config.json");
    let mut config = read_json(&path);
    config["add_prefix_space"] = json!(true);
    fs::write(path, config.to_string()).unwrap();
    place.refused(
        &train("other", &["tokens"], "o"),
        &["tokens: its tokens are of another tokenizer"],
    );
    place.refused(&["eval", "other", "--data", "tokens"], &["another tokenizer"]);
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let (place, model) = (Place::new(), model("bbpe"));
    let line =
        |at: usize| format!("Nenek menanam cabai {at} di kebun, {} kali.\n", at * 7919 % 1000);
    for file in 0..3 {
        let lines = (file * 150_000..(file + 1) * 150_000).map(line);
        place.write(["a.txt", "b.txt", "c.txt"][file], lines.collect::<String>());
    }
    let split = ["--valid-lines", "1000", "--shard-tokens", "1000000"];
    let tokenize = |output| {
        let start = ["data", "tokenize", "--tokenizer", &model, "--output", output];
        [&start[..], &["a.txt", "b.txt", "c.txt", "--quiet"], &split].concat()
    };
    let start = std::time::Instant::now();
    place.ok(&tokenize("whole"));
    let whole_run = start.elapsed();
    let expected = content(&place, "whole");
    assert!(expected.len() > 4, "{:?}", names(&place.path("whole")));
    let mut killed = 0;
    for moment in 1..8 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gpt2"))
            .args(tokenize("killed"))
            .current_dir(place.path(""))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(
            whole_run.mul_f64(0.13 * f64::from(moment)).max(Duration::from_millis(5)),
        );
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed >= 2, "{killed}");
    place.ok(&tokenize("killed"));
    let found = content(&place, "killed");
    assert_eq!(names(&place.path("killed")), names(&place.path("whole")));
    assert!(found == expected);
}

#[cfg(unix)]
#[test]
fn two_runs_do_not_write_to_one_folder() {
    let (place, model) = (Place::new(), model("bbpe"));
    let stories = corpus(&place);
    fs::create_dir(place.path("tokens")).unwrap();
    let lock = fs::File::create(place.path("tokens/.lock")).unwrap();
    lock.lock().unwrap();
    let tokenize = ["data", "tokenize", "--tokenizer", &model, "--output", "tokens", stories];
    place.refused(&tokenize, &["tokens: another process is writing to this folder"]);
    drop(lock);
    place.ok(&tokenize);
    assert!(!place.path("tokens/.lock").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_corpus() {
    let (place, model) = (Place::new(), model("bbpe"));
    let line = |at: usize| format!("Nenek menanam cabai {at} di kebun, {} kali.\n", at % 1000);
    // No blank line: one document of 60 MB, whose ids alone would take more than is allowed.
    place.write("long.txt", (0..1_300_000).map(line).collect::<String>());
    let mut child = Command::new(env!("CARGO_BIN_EXE_gpt2"))
        .args(["data", "tokenize", "--tokenizer", &model, "--output", "tokens", "long.txt"])
        .args(["--threads", "2", "--quiet"])
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = high.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        peak = kilobytes.unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    assert!(peak > 0 && peak < 100_000, "{peak} kB");
}
