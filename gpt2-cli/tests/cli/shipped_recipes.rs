//! `gpt2 train --recipe` with the recipes of the published models, on a small model.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Place, model};

/// Trains by a recipe of `examples/recipes`; returns the lines of `metrics.jsonl`.
fn train(place: &Place, recipe: &str) -> Vec<Value> {
    let story = |at: usize| {
        let (who, what) = (["Nenek", "Kakek", "Budi"][at % 3], ["cabai", "tomat"][at % 2]);
        format!("{}\n", json!({ "text": format!("{who} menanam {what} di kebun bersama Sari.") }))
    };
    let data = place.write("stories.jsonl", (0..40).map(story).collect::<String>());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recipes");
    let file = folder.join(recipe).with_extension("toml");
    let (model, file) = (model("bbpe-trained"), file.to_str().unwrap());
    let args = ["train", "--model", &model, "--data", data, "--valid-fraction", "0.2"];
    let rest = ["--block-size", "16", "--recipe", file, "--output", recipe, "--json"];
    place.ok(&[&args[..], &rest].concat());
    let text = fs::read_to_string(place.path(recipe).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(lines: &[Value], key: &str) -> Vec<f64> {
    lines.iter().filter_map(|line| line[key].as_f64()).collect()
}

#[test]
fn the_transfer_recipes_go_from_stage_to_stage() {
    for (recipe, epochs) in [("portuguese", 5), ("czech", 5), ("indonesian", 1)] {
        let place = Place::new();
        let lines = train(&place, recipe);
        let losses = numbers(&lines, "eval_loss");
        assert_eq!(losses.len(), epochs + 1, "{recipe}: one before the first step");
        assert!(losses[epochs] < losses[0], "{recipe}: {losses:?}");
        let rates = numbers(&lines, "learning_rate");
        // Where a stage begins the rate is a 25th of its highest.
        for highest in [2e-3, 1e-3, 5e-4, 1e-4] {
            let begins = |rate: &&f64| (**rate * 25.0 / highest - 1.0).abs() < 1e-9;
            assert_eq!(rates.iter().filter(begins).count(), 1, "{recipe} {highest}: {rates:?}");
        }
        let card = fs::read_to_string(place.path(recipe).join("README.md")).unwrap();
        assert!(card.contains("| stage 1 |") && card.contains("frozen: 3 of 4 |"), "{card}");
    }
}

#[test]
fn the_stories_take_ten_epochs_of_the_trainer() {
    let lines = train(&Place::new(), "indonesian_kids_stories");
    let losses = numbers(&lines, "eval_loss");
    assert_eq!(losses.len(), 10);
    assert!(losses[9] < losses[0], "{losses:?}");
    assert_eq!(numbers(&lines, "learning_rate")[0], 5e-5);
}

#[test]
fn the_japanese_recipe_starts_from_zero() {
    let lines = train(&Place::new(), "japanese");
    let (rates, losses) = (numbers(&lines, "learning_rate"), numbers(&lines, "eval_loss"));
    assert_eq!(rates[0], 0.0);
    assert!(rates[1] < 1e-4 && rates[1] > 0.9e-4 && rates[1] > rates[2], "{rates:?}");
    assert!(losses.len() > 1 && losses[losses.len() - 2] < losses[0] + 1e-9, "{losses:?}");
}
