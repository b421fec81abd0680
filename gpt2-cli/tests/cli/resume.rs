//! `gpt2 train --resume`: runs that are killed or asked to end, and go on.
#![cfg(unix)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Place, model, names};

/// A little corpus: one story a line.
fn corpus(place: &Place) -> &'static str {
    let story = |at: usize| json!({ "text": format!("Budi punya {at} ekor ayam dan {} kambing.", at * 7 % 31) });
    let lines: Vec<String> = (0..60).map(|at| story(at).to_string()).collect();
    place.write("stories.jsonl", lines.join("\n"))
}

fn arguments(place: &Place, output: &str) -> Vec<String> {
    let model = model("bbpe-trained");
    let text = [
        "train",
        "--model",
        &model,
        "--data",
        corpus(place),
        "--valid-fraction",
        "0.2",
        "--output",
        output,
        "--block-size",
        "16",
        "--max-steps",
        "40",
        "--per-device-batch-size",
        "2",
        "--eval-steps",
        "7",
        "--save-steps",
        "4",
        "--learning-rate",
        "1e-3",
        "--quiet",
    ];
    text.map(String::from).to_vec()
}

fn start(place: &Place, output: &str, options: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gpt2"))
        .args(arguments(place, output))
        .args(options)
        .current_dir(place.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn send(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Waits until the log of a run has so many lines; `false` when the run is over before that.
fn wait_for_lines(place: &Place, output: &str, child: &mut Child, lines: usize) -> bool {
    let log = place.path(output).join("metrics.jsonl");
    loop {
        let count = fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        if count >= lines {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The log without what depends on the clock.
fn log(place: &Place, output: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(output).join("metrics.jsonl")).unwrap();
    let timeless = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["tokens_per_second", "seconds"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    text.lines().map(timeless).collect()
}

fn finish(place: &Place, output: &str, options: &[&str]) {
    let ran = start(place, output, options).wait_with_output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_run_that_is_killed_again_and_again_gives_the_same_log_and_weights() {
    let place = Place::new();
    finish(&place, "whole", &[]);
    // Numbers of log lines after which the process is killed: between checkpoints, at them, and
    // while the evaluation or the model is written.
    for lines in [1, 3, 6, 9, 14, 15, 22, 23, 31, 40] {
        let mut child = start(&place, "killed", &["--resume"]);
        wait_for_lines(&place, "killed", &mut child, lines);
        let _ = child.kill();
        child.wait().unwrap();
    }
    finish(&place, "killed", &["--resume"]);
    assert_eq!(log(&place, "killed"), log(&place, "whole"));
    let weights = |output: &str| fs::read(place.path(output).join("model.safetensors")).unwrap();
    assert!(weights("killed") == weights("whole"));
    assert_eq!(names(&place.path("killed")), names(&place.path("whole")));
    assert_eq!(
        names(&place.path("killed/checkpoints")),
        [".lock", "checkpoint-36", "checkpoint-40"]
    );
}

#[test]
fn signals_save_and_end_with_their_exit_codes() {
    let place = Place::new();
    finish(&place, "whole", &[]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let output = signal.trim_start_matches('-');
        let mut child = start(&place, output, &[]);
        assert!(wait_for_lines(&place, output, &mut child, 2));
        send(&child, signal);
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.code(), Some(code));
        let message = String::from_utf8(ran.stderr).unwrap();
        assert!(
            message.contains("interrupted after step") && message.contains("--resume"),
            "{message}"
        );
        assert!(!place.path(output).join("config.json").exists());
        let saved = names(&place.path(output).join("checkpoints"));
        let last = saved.last().unwrap().trim_start_matches("checkpoint-").to_string();
        let lines = log(&place, output);
        assert_eq!(lines.last().unwrap()["step"].to_string(), last, "the last step is saved");
        finish(&place, output, &["--resume"]);
        assert_eq!(log(&place, output), log(&place, "whole"));
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let place = Place::new();
    let mut child = start(&place, "run", &[]);
    assert!(wait_for_lines(&place, "run", &mut child, 2));
    // As `timeout` sends it: to the process, and to its group.
    for _ in 0..3 {
        send(&child, "-TERM");
    }
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(143));
    let message = String::from_utf8(ran.stderr).unwrap();
    assert!(message.contains("interrupted after step"), "{message:?}");
    finish(&place, "run", &["--resume"]);
}

#[test]
fn another_run_is_refused_and_an_unfinished_one_is_kept() {
    let place = Place::new();
    finish(&place, "run", &[]);
    let refused = |options: &[&str], parts: &[&str]| {
        let args = arguments(&place, "run");
        let args: Vec<&str> =
            args.iter().map(String::as_str).chain(options.iter().copied()).collect();
        place.refused(&args, parts);
    };
    let report = || fs::read_to_string(place.path("run/report.html")).unwrap();
    let before = report();
    refused(&["--resume", "--seed", "7"], &["`training.seed` is 42, expected 7"]);
    refused(&["--resume", "--num-train-epochs", "7"], &["`training.num_train_epochs` is 3"]);
    refused(&["--resume", "--dropout", "0.5"], &["`training.dropout` is null, expected 0.5"]);
    refused(&["--resume", "--lora-r", "2"], &["`training.lora_r` is null, expected 2"]);
    assert_eq!(report(), before, "a refused run wrote a page");
    finish(&place, "run", &["--resume"]);
    finish(&place, "run", &["--resume-from-checkpoint", "run/checkpoints/checkpoint-36"]);
    // A finished run may be replaced, an unfinished one is still worth something.
    finish(&place, "run", &[]);
    let mut child = start(&place, "open", &[]);
    assert!(wait_for_lines(&place, "open", &mut child, 2));
    send(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let args = arguments(&place, "open");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    place.refused(&args, &["open/checkpoints/checkpoint-", "did not come to its end"]);
    finish(&place, "open", &["--overwrite-output-dir"]);
}

#[test]
fn a_full_disk_is_named_and_the_last_checkpoint_stays() {
    let place = Place::new();
    let mut child = start(&place, "run", &[]);
    assert!(wait_for_lines(&place, "run", &mut child, 8));
    // What cannot be created stands for what cannot be written.
    let checkpoints = place.path("run/checkpoints");
    while names(&checkpoints).len() < 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let aside = place.path("run/aside");
    fs::rename(&checkpoints, &aside).unwrap();
    fs::write(&checkpoints, "no folder").unwrap();
    let ran = child.wait_with_output().unwrap();
    let message = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{message}");
    assert!(message.contains("run/checkpoints"), "{message}");
    fs::remove_file(&checkpoints).unwrap();
    fs::rename(&aside, &checkpoints).unwrap();
    finish(&place, "run", &["--resume"]);
}
