//! `gpt2 train`.

use std::fs;

use clap::{Args, FromArgMatches};
use gpt2_train::TrainingConfig;
use serde_json::{Value, json};

use super::support::{Place, Ran, assert_close, keys, model, names, read_json};

/// A little corpus: one story a line.
fn corpus(place: &Place) -> &'static str {
    let story = |at: usize| {
        let (who, what) = (["Nenek", "Kakek", "Budi"][at % 3], ["cabai", "tomat"][at % 2]);
        let text = format!("{who} menanam {what} di kebun. Setiap pagi {who} menyiram {what} itu.");
        format!("{}\n", json!({ "text": text }))
    };
    place.write("stories.jsonl", (0..24).map(story).collect::<String>())
}

fn new_model(place: &Place) -> &'static str {
    let config = json!({
        "model_type": "gpt2", "vocab_size": 384, "n_positions": 32, "n_embd": 16, "n_layer": 1,
        "n_head": 2,
    });
    place.write("config.json", config.to_string())
}

fn fine_tune(place: &Place, output: &str, options: &[&str]) -> Ran {
    let model = model("bbpe-trained");
    let args = ["train", "--model", &model, "--data", corpus(place), "--output", output];
    place.ok(&[&args[..], &["--block-size", "16", "--json"], options].concat())
}

fn metrics(place: &Place, output: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(output).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The loss of every step.
fn losses(place: &Place, output: &str) -> Vec<f64> {
    metrics(place, output).iter().filter_map(|line| line["loss"].as_f64()).collect()
}

#[test]
fn a_new_model_is_trained_evaluated_and_used() {
    let place = Place::new();
    let (stories, config, tokenizer) = (corpus(&place), new_model(&place), model("bbpe"));
    let args = ["train", "--config", config, "--tokenizer", &tokenizer, "--data", stories];
    let recipe = ["--valid-fraction", "0.2", "--learning-rate", "1e-2", "--dropout", "0"];
    let rest = ["--num-train-epochs", "5", "--per-device-batch-size", "4", "--output", "new"];
    let found = place.json(&[&args[..], &recipe, &rest].concat());
    assert_eq!(keys(&found), ["best", "epochs", "last", "seconds", "steps"]);
    assert_eq!(found["epochs"], 5.0);
    let last = &found["last"];
    assert!(last["eval_loss"].as_f64().unwrap() < 4.5, "{last}");
    assert_close(&last["eval_perplexity"], &json!(last["eval_loss"].as_f64().unwrap().exp()), 1e-6);
    assert_eq!(place.json(&["info", "new"])["config"]["eos_token_id"], 0);
    let evaluation = place.json(&["eval", "new", "--data", stories]);
    assert!(evaluation["loss"].as_f64().unwrap() < 4.5, "{evaluation}");
    let text = place.ok(&["generate", "new", "--prompt", "Nenek menanam"]).stdout;
    assert!(text.starts_with("Nenek menanam"), "{text}");
}

#[test]
fn the_output_is_a_whole_model_folder_with_its_history() {
    let place = Place::new();
    fine_tune(&place, "tuned", &["--max-steps", "2"]);
    let expected = [
        "README.md",
        "checkpoints",
        "config.json",
        "epochs.jsonl",
        "generation_config.json",
        "merges.txt",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "runs",
        "samples.jsonl",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_config.json",
        "vocab.json",
    ];
    assert_eq!(names(&place.path("tuned")), expected);
    assert_eq!(place.names(), ["stories.jsonl", "tuned"]);
    let card = fs::read_to_string(place.path("tuned/README.md")).unwrap();
    assert!(card.contains("bbpe-trained") && !card.contains(env!("CARGO_MANIFEST_DIR")), "{card}");
    let resolved = read_json(&place.path("tuned/training_config.json"));
    let resolved: TrainingConfig = serde_json::from_value(resolved).unwrap();
    assert_eq!(resolved, TrainingConfig { max_steps: Some(2), ..TrainingConfig::default() });
}

#[test]
fn a_card_that_is_no_utf8_stays_as_it_is() {
    let place = Place::new();
    let mine = b"# Mein Modell, f\xfcr dich\n";
    fine_tune(&place, "tuned", &["--max-steps", "1"]);
    place.write("tuned/README.md", mine);
    fine_tune(&place, "tuned", &["--max-steps", "1"]);
    assert_eq!(fs::read(place.path("tuned/README.md")).unwrap(), mine);
}

#[test]
fn metrics_hold_a_line_for_every_step_and_evaluation() {
    let place = Place::new();
    let options = ["--valid-fraction", "0.25", "--max-steps", "6", "--eval-steps", "2"];
    let ran = fine_tune(&place, "tuned", &[&options[..], &["--warmup-steps", "2"]].concat());
    let lines = metrics(&place, "tuned");
    let (steps, evaluations): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.get("loss").is_some());
    let step = ["epoch", "grad_norm", "learning_rate", "loss", "step", "tokens"];
    let step = [&step[..], &["tokens_per_second"]].concat();
    assert!(steps.iter().all(|line| keys(line) == step));
    assert_eq!(steps.len(), 6);
    assert_eq!(steps[0]["learning_rate"], 0.0);
    let evaluation = ["epoch", "eval_accuracy", "eval_loss", "eval_perplexity", "seconds", "step"];
    assert!(evaluations.iter().all(|line| keys(line) == evaluation));
    let at: Vec<u64> = evaluations.iter().filter_map(|line| line["step"].as_u64()).collect();
    for step in [2, 4, 6] {
        assert!(at.contains(&step), "{at:?}");
    }
    // Numbers of a run are only its own: what was said last is what was written last.
    let last = &ran.lines()[0];
    assert_eq!(&last["last"], *evaluations.last().unwrap());
    assert_eq!(last["steps"], 6);
    let best = |line: &&Value| line["eval_loss"].as_f64();
    let least = evaluations.iter().filter_map(best).fold(f64::INFINITY, f64::min);
    assert_eq!(last["best"]["eval_loss"], least);
}

#[test]
fn fine_tuning_starts_from_the_model_and_improves_it() {
    let place = Place::new();
    let stories = corpus(&place);
    let loss = |folder: &str| {
        let args = ["eval", folder, "--data", stories, "--block-size", "16"];
        place.json(&args)["loss"].as_f64().unwrap()
    };
    let before = loss(&model("bbpe-trained"));
    fine_tune(&place, "tuned", &["--num-train-epochs", "3", "--learning-rate", "3e-3"]);
    let first = losses(&place, "tuned")[0];
    assert!((first - before).abs() < 0.5, "{first} is far from {before}");
    assert!(loss("tuned") < before - 0.3);
}

#[test]
fn one_seed_is_one_run_and_shuffling_can_be_switched_off() {
    let place = Place::new();
    for (output, options) in [
        ("a", &[][..]),
        ("b", &[]),
        ("c", &["--seed", "7"]),
        ("d", &["--no-shuffle", "--dropout", "0"]),
        ("e", &["--no-shuffle", "--dropout", "0", "--seed", "7"]),
    ] {
        let size = ["--per-device-batch-size", "4", "--num-train-epochs", "1"];
        fine_tune(&place, output, &[&size[..], options].concat());
    }
    let losses = |output| losses(&place, output);
    assert_eq!(losses("a"), losses("b"));
    assert_ne!(losses("a"), losses("c"));
    assert_eq!(losses("d"), losses("e"), "nothing is random without order and dropout");
    assert_eq!(
        fs::read(place.path("a/model.safetensors")).unwrap(),
        fs::read(place.path("b/model.safetensors")).unwrap()
    );
}

#[test]
fn the_learning_rate_follows_the_schedule() {
    let place = Place::new();
    for (schedule, expected) in [
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, 0.853_553, 0.5, 0.146_447]),
        ("constant", [1.0; 4]),
        ("one-cycle", [0.04, 1.0, 0.750_003, 0.250_008]),
    ] {
        let options = ["--max-steps", "4", "--learning-rate", "0.01", "--lr-scheduler", schedule];
        fine_tune(&place, schedule, &options);
        for (line, factor) in metrics(&place, schedule).iter().zip(expected) {
            assert_close(&line["learning_rate"], &json!(0.01 * factor), 1e-8);
        }
        let resolved = read_json(&place.path(schedule).join("training_config.json"));
        assert_eq!(resolved["lr_scheduler"], schedule);
    }
    let card = fs::read_to_string(place.path("one-cycle/README.md")).unwrap();
    assert!(card.contains("one-cycle, beta1 0.95 to 0.85 to 0.95"), "{card}");
}

const RECIPE: &str = r#"
groups = [["h.0", "h.1"], ["wte", "wpe", "ln_f"]]
[training]
per_device_batch_size = 4
seed = 5
[[stages]]
length = { steps = 2 }
frozen_groups = 1
learning_rate = 0.01
schedule = { constant = { warmup_steps = 0 } }
[[stages]]
length = { epochs = 1 }
learning_rate = 0.001
lowest_learning_rate = 0.0001
schedule = { one-cycle = {} }
"#;

#[test]
fn a_recipe_goes_through_its_stages() {
    let place = Place::new();
    place.write("recipe.toml", RECIPE);
    fine_tune(&place, "tuned", &["--recipe", "recipe.toml"]);
    let lines = metrics(&place, "tuned");
    let rates: Vec<f64> = lines.iter().filter_map(|line| line["learning_rate"].as_f64()).collect();
    assert_eq!(rates[..2], [0.01, 0.01]);
    assert!((rates[2] - 0.001 / 25.0).abs() < 1e-12 && rates.len() > 4, "{rates:?}");
    let card = fs::read_to_string(place.path("tuned/README.md")).unwrap();
    for part in [
        "| stage 1 | steps: 2, learning rate 1e-2, constant, warm-up steps: 0, frozen: 1 of 2 |",
        "| stage 2 | epochs: 1, learning rate 1e-3 down to 1e-4, one-cycle, ",
        "| sequences per step | 4 x 1 |",
    ] {
        assert!(card.contains(part), "no {part} in {card}");
    }
    // What is left beside the model is the same recipe.
    fs::copy(place.path("tuned/recipe.toml"), place.path("again.toml")).unwrap();
    fine_tune(&place, "again", &["--recipe", "again.toml"]);
    assert_eq!(losses(&place, "tuned"), losses(&place, "again"));
}

#[test]
fn the_command_line_overrides_a_recipe() {
    let place = Place::new();
    place.write("recipe.toml", RECIPE);
    let recipe = ["--recipe", "recipe.toml"];
    fine_tune(&place, "tuned", &[&recipe[..], &["--seed", "42"]].concat());
    let resolved = read_json(&place.path("tuned/training_config.json"));
    assert_eq!((&resolved["seed"], &resolved["per_device_batch_size"]), (&json!(42), &json!(4)));
    let (stories, model) = (corpus(&place), model("bbpe-trained"));
    let args = ["train", "--model", &model, "--data", stories, "--output", "o", "--recipe"];
    place.write("wrong.toml", "[[stages]]\nlength = 1\n");
    place.write("other.toml", RECIPE.replace("\"h.1\"", "\"h.2\""));
    for (options, part) in [
        (&["recipe.toml", "--max-steps", "3"][..], "`max_steps` is 3, expected to be left"),
        (&["recipe.toml", "--learning-rate", "5e-5"], "`learning_rate` is 0.00005, expected"),
        (&["nowhere.toml"], "nowhere.toml: cannot read"),
        (&["wrong.toml"], "wrong.toml, line 2: "),
        (&["other.toml"], "`h.1.ln_1.weight` in no group"),
    ] {
        place.refused(&[&args[..], options].concat(), &[part]);
    }
}

#[test]
fn gradients_are_clipped_together_or_by_tensor() {
    let place = Place::new();
    let loss = |output, clip| {
        let options = ["--max-steps", "4", "--learning-rate", "0.01", "--dropout", "0"];
        let clip = ["--max-grad-norm", "0.1", "--clip", clip];
        fine_tune(&place, output, &[&options[..], &clip].concat());
        losses(&place, output)
    };
    let (together, by_tensor) = (loss("a", "global"), loss("b", "per-tensor"));
    assert_eq!(together[0], by_tensor[0]);
    assert_ne!(together[3], by_tensor[3]);
}

#[test]
fn the_best_weights_can_be_kept() {
    let place = Place::new();
    let options = ["--valid-fraction", "0.25", "--learning-rate", "1", "--max-steps", "6"];
    let more = ["--eval-steps", "1", "--load-best-model-at-end", "--warmup-steps", "3"];
    fine_tune(&place, "best", &[&options[..], &more].concat());
    let lines = metrics(&place, "best");
    let losses: Vec<f64> = lines.iter().filter_map(|line| line["eval_loss"].as_f64()).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < losses[losses.len() - 1], "{losses:?}");
    let args = ["eval", "best", "--data", "stories.jsonl", "--block-size", "16"];
    let kept = place.json(&args)["loss"].as_f64().unwrap();
    assert!(kept < 1.2 * least, "{kept} is far from {least}");
}

#[test]
fn people_get_progress_and_a_table_apart() {
    let place = Place::new();
    let (stories, model) = (corpus(&place), model("bbpe-trained"));
    let args = ["train", "--model", &model, "--data", stories, "--valid-data", stories];
    let args = [&args[..], &["--max-steps", "2", "--output", "tuned"]].concat();
    let ran = place.ok(&args);
    assert!(ran.stdout.contains("training loss") && ran.stdout.contains(" * "), "{}", ran.stdout);
    assert!(ran.stderr.contains("validation loss") && ran.stderr.ends_with("wrote tuned\n"));
    let quiet = place.ok(&[&args[..], &["--quiet"]].concat());
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("training loss"));
}

#[test]
fn the_options_default_to_those_of_the_library() {
    let command = TrainingConfig::augment_args(clap::Command::new("train"));
    let matches = command.get_matches_from(["train"]);
    let found = TrainingConfig::from_arg_matches(&matches).unwrap();
    assert_eq!(found, TrainingConfig::default());
}

#[test]
fn options_that_cannot_be_used_are_named_and_nothing_is_written() {
    let place = Place::new();
    let (stories, model) = (corpus(&place), model("bbpe-trained"));
    let args = ["train", "--model", &model, "--data", stories, "--output", "tuned"];
    for (options, part) in [
        (&["--learning-rate", "nan"][..], "`learning_rate` is NaN"),
        (&["--learning-rate", "-1"], "`learning_rate` is -1"),
        (&["--learning-rate", "inf"], "`learning_rate` is inf"),
        (&["--num-train-epochs", "0"], "`num_train_epochs` is 0"),
        (&["--max-steps", "0"], "`max_steps` is 0"),
        (&["--per-device-batch-size", "0"], "`per_device_batch_size` is 0"),
        (&["--gradient-accumulation-steps", "0"], "`gradient_accumulation_steps` is 0"),
        (&["--adam-beta1", "1"], "`adam_beta1` is 1"),
        (&["--lr-scheduler", "one-cycle", "--warmup-steps", "2"], "`warmup_steps` is 2"),
        (&["--weight-decay", "nan"], "`weight_decay` is NaN"),
        (&["--max-grad-norm", "-1"], "`max_grad_norm` is -1"),
        (&["--dropout", "1"], "`dropout` is 1"),
        (&["--skip-z-score", "0"], "`skip_z_score` is 0, expected a number above 0"),
        (
            &["--dtype", "bf16", "--device", "ndarray"],
            "`dtype` is bf16, expected a type that `ndarray` computes in: f32",
        ),
        (&["--valid-fraction", "nan"], "`valid_fraction` is NaN"),
        (&["--valid-fraction", "1"], "`valid_fraction` is 1"),
        (&["--block-size", "49"], "`block_size` is 49, expected 2 to n_positions = 48"),
        (&["--block-size", "0"], "`block_size` is 0"),
        (&["--eval-steps", "2"], "`eval_steps` needs `--valid-data`, `--valid-fraction`"),
        (&["--early-stopping-patience", "2"], "`early_stopping_patience` needs"),
        (&["--load-best-model-at-end"], "`load_best_model_at_end` needs"),
        (&["--valid-data", "nowhere"], "nowhere: cannot read"),
    ] {
        place.refused(&[&args[..], options].concat(), &[part]);
    }
}

#[test]
fn a_run_that_explodes_names_the_step_and_leaves_its_log_and_no_model() {
    let place = Place::new();
    let (stories, model) = (corpus(&place), model("bbpe-trained"));
    let args = ["train", "--model", &model, "--data", stories, "--output", "tuned"];
    let ran = place.run(&[&args[..], &["--learning-rate", "1e38", "--quiet"]].concat());
    ran.assert_refused(&args, &["at step 2"]);
    assert_eq!(metrics(&place, "tuned").len(), 1);
    assert!(!place.path("tuned/config.json").exists());
}

#[test]
fn memory_and_bits_are_options_of_a_run() {
    let place = Place::new();
    // Without dropout, whose masks are those of the rows that are computed together: with half the bits, a thread's.
    let steps = ["--max-steps", "3", "--device", "flex", "--dropout", "0"];
    fine_tune(&place, "plain", &steps);
    fine_tune(&place, "lean", &[&steps[..], &["--gradient-checkpointing"]].concat());
    assert_eq!(losses(&place, "plain"), losses(&place, "lean"));
    let half = ["--dtype", "bf16", "--gradient-checkpointing", "--skip-z-score", "6"];
    fine_tune(&place, "half", &[&steps[..], &half].concat());
    let pairs = losses(&place, "plain").into_iter().zip(losses(&place, "half"));
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart > 0.0 && apart < 0.02, "{apart}");
    let card = fs::read_to_string(place.path("half/README.md")).unwrap();
    assert!(card.contains("| mixed precision | products in bf16, weights in f32 |"), "{card}");
    let written = read_json(&place.path("half/training_config.json"));
    assert_eq!((&written["dtype"], &written["skip_z_score"]), (&json!("bf16"), &json!(6.0)));
}

#[test]
fn a_skipped_step_is_in_the_metrics() {
    let place = Place::new();
    // A single prediction, whose gradient times the first loss scale is beyond f16.
    let data = place.write("pair.jsonl", r#"{"input_ids": [3, 5]}"#);
    let model = model("bbpe-trained");
    let args = ["train", "--model", &model, "--data", data, "--output", "tuned"];
    let f16 = ["--dtype", "f16", "--device", "flex", "--max-steps", "2", "--dropout", "0"];
    place.ok(&[&args[..], &f16].concat());
    let first = &metrics(&place, "tuned")[0];
    assert_eq!((&first["skipped"], &first["grad_norm"]), (&json!("overflow"), &Value::Null));
}

#[test]
fn sizes_beyond_any_number_are_the_whole_data() {
    let place = Place::new();
    let size = "4294967296";
    let sizes = ["--per-device-batch-size", size, "--gradient-accumulation-steps", size];
    fine_tune(&place, "tuned", &[&sizes[..], &["--max-steps", "1"]].concat());
    let large = "1000000000000000000";
    fine_tune(&place, "large", &["--per-device-batch-size", large, "--max-steps", "1"]);
    assert_eq!(losses(&place, "tuned"), losses(&place, "large"));
}

#[test]
fn what_a_new_model_lacks_is_named() {
    let place = Place::new();
    let (stories, config, tokenizer) = (corpus(&place), new_model(&place), model("bbpe"));
    fs::create_dir(place.path("empty")).unwrap();
    place.write("small.json", r#"{"model_type": "gpt2", "vocab_size": 9}"#);
    place.write("list.json", "[]");
    for (config, tokenizer, part) in [
        ("nowhere", tokenizer.as_str(), "nowhere: cannot read"),
        ("list.json", &tokenizer, "list.json: malformed JSON"),
        (config, "nowhere", "nowhere: "),
        (config, "empty", "empty: there is no tokenizer.json or vocab.json"),
        ("small.json", &tokenizer, "the tokenizer has 384 ids"),
    ] {
        let args = ["train", "--config", config, "--tokenizer", tokenizer, "--data", stories];
        place.refused(&[&args[..], &["--output", "new"]].concat(), &[part]);
    }
}

#[test]
fn what_must_not_be_replaced_is_kept() {
    let place = Place::new();
    let (stories, source) = (corpus(&place), model("bbpe"));
    place.ok(&["convert", &source, "--output", "model", "--quiet"]);
    fs::create_dir(place.path("other")).unwrap();
    place.write("other/thesis.txt", "text");
    for (model, data, output, part) in [
        ("model", stories, "model", "`output` is model, expected another place than model"),
        (&source, "model/vocab.json", "model", "than model/vocab.json, which is read"),
        (&source, stories, "other", "other (a folder with thesis.txt)"),
        (&source, stories, stories, "which is read"),
        (&source, stories, "other/thesis.txt", "(a file)"),
    ] {
        place.refused(&["train", "--model", model, "--data", data, "--output", output], &[part]);
    }
    place.ok(&["info", "model"]);
}
