//! Low-rank weights on the command line: `train --lora-r`, `convert --adapter`.

use std::fs;

use serde_json::{Value, json};

use super::support::{Place, assert_close, fixture, model, names, read_json};

const TRAIN: [&str; 9] = [
    "--block-size",
    "16",
    "--max-steps",
    "3",
    "--lora-r",
    "4",
    "--lora-target-modules",
    "c_attn,mlp.c_proj",
    "--json",
];

fn train(place: &Place, output: &str, options: &[&str]) {
    let story = |at: usize| format!("Nenek menanam {} di kebun.\n\n", ["cabai", "tomat"][at % 2]);
    let data = place.write("stories.txt", (0..20).map(story).collect::<String>());
    let model = model("bbpe-trained");
    let args = ["train", "--model", &model, "--data", data, "--output", output];
    place.ok(&[&args[..], &TRAIN, options].concat());
}

fn loss(place: &Place, folder: &str) -> Value {
    place.json(&["eval", folder, "--data", "stories.txt"])["loss"].clone()
}

#[test]
fn training_leaves_a_merged_model_and_an_adapter_that_gives_it_on_the_base() {
    let place = Place::new();
    // The second run replaces what the first has left, its adapter included.
    for alpha in ["8", "64"] {
        train(&place, "tuned", &["--lora-alpha", alpha, "--learning-rate", "1e-2"]);
    }
    assert_eq!(
        names(&place.path("tuned/adapter")),
        ["adapter_config.json", "adapter_model.safetensors"]
    );
    let config = read_json(&place.path("tuned/adapter/adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "bbpe-trained");
    assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(4), &json!(64.0)));
    let resolved = read_json(&place.path("tuned/training_config.json"));
    assert_eq!(resolved["lora_target_modules"], json!(["c_attn", "mlp.c_proj"]));
    let card = fs::read_to_string(place.path("tuned/README.md")).unwrap();
    assert!(card.contains("rank 4, alpha 64"), "{card}");
    let base = model("bbpe-trained");
    place.ok(&["convert", &base, "--adapter", "tuned/adapter", "--output", "merged"]);
    let (tuned, before) = (loss(&place, "tuned"), loss(&place, &base));
    assert!((tuned.as_f64().unwrap() - before.as_f64().unwrap()).abs() > 1e-2, "{tuned} {before}");
    assert_close(&loss(&place, "merged"), &tuned, 1e-6);
    assert!(!names(&place.path("merged")).contains(&"adapter".to_string()));
}

#[test]
fn a_recipe_says_lora_and_the_command_line_overrides_it() {
    let place = Place::new();
    let training = "[training]\nlora_r = 2\nlora_alpha = 32\n";
    place.write("recipe.toml", training);
    train(&place, "tuned", &["--recipe", "recipe.toml"]);
    let config = read_json(&place.path("tuned/adapter/adapter_config.json"));
    assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(4), &json!(32.0)));
    let recipe = fs::read_to_string(place.path("tuned/recipe.toml")).unwrap();
    assert!(recipe.contains("lora_r = 4") && recipe.contains("lora_alpha = 32"), "{recipe}");
}

#[test]
fn bad_options_and_adapters_are_refused() {
    let place = Place::new();
    let (base, data) = (model("bbpe"), "stories.txt");
    place.write(data, "Nenek menanam cabai di kebun. Kakek menyiram tomat.");
    let adapter = fixture("expected/lora/c_attn");
    fs::create_dir(place.path("bad")).unwrap();
    fs::copy(
        format!("{adapter}/adapter_model.safetensors"),
        place.path("bad/adapter_model.safetensors"),
    )
    .unwrap();
    let mut config = read_json(format!("{adapter}/adapter_config.json").as_ref());
    config["use_dora"] = json!(true);
    place.write("bad/adapter_config.json", config.to_string());
    let train = ["train", "--model", &base, "--data", data, "--output", "new", "--block-size", "8"];
    let convert = ["convert", &base, "--output", "new"];
    for (args, parts) in [
        ([&train[..], &["--lora-r", "0"]].concat(), &["`lora_r` is 0"][..]),
        (
            [&train[..], &["--lora-alpha", "16"]].concat(),
            &["`lora_alpha` is 16", "`lora_r` beside it"],
        ),
        (
            [&train[..], &["--lora-r", "2", "--lora-dropout", "1"]].concat(),
            &["`lora_dropout` is 1"],
        ),
        (
            [&train[..], &["--lora-r", "2", "--lora-target-modules", "wte"]].concat(),
            &["`wte`", "c_attn"],
        ),
        (
            [&convert[..], &["--adapter", "none"]].concat(),
            &["none", "there is no adapter_config.json"],
        ),
        (
            [&convert[..], &["--adapter", "bad"]].concat(),
            &["adapter_config.json", "`use_dora` is true"],
        ),
        (vec!["convert", &base, "--adapter", "bad", "--output", "bad"], &["`output` is bad"]),
    ] {
        place.refused(&args, parts);
    }
}
