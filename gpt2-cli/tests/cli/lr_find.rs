//! `gpt2 lr-find`.

use std::fs;

use serde_json::Value;

use super::support::{Place, keys, model};

/// A corpus and the options of a sweep over it.
fn args(place: &Place) -> Vec<String> {
    let line = |at: usize| format!("{} menanam cabai di kebun.\n\n", ["Nenek", "Budi"][at % 2]);
    place.write("stories.txt", (0..40).map(line).collect::<String>());
    let model = model("bbpe-trained");
    let args = ["lr-find", "--model", &model, "--data", "stories.txt", "--block-size", "16"];
    args.map(String::from).to_vec()
}

fn with<'a>(args: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    args.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_sweep_gives_points_and_suggestions_and_a_plot() {
    let place = Place::new();
    let args = args(&place);
    let sweep =
        ["--num-it", "40", "--start-lr", "1e-6", "--end-lr", "1", "--output", "plots/lr.svg"];
    let found = place.json(&with(&args, &sweep));
    assert_eq!(keys(&found), ["end", "points", "suggestions"]);
    assert_eq!(keys(&found["points"][0]), ["learning_rate", "loss", "smoothed_loss"]);
    assert_eq!(keys(&found["suggestions"]), ["minimum", "slide", "steep", "valley"]);
    let points = found["points"].as_array().unwrap();
    assert_eq!((points.len(), &found["end"]), (40, &Value::from("complete")));
    let valley = found["suggestions"]["valley"].as_f64().unwrap();
    assert!(points.iter().any(|point| point["learning_rate"] == valley));
    let svg = fs::read_to_string(place.path("plots/lr.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains(&format!("valley {valley:.2e}")), "{svg}");
    // Nothing else was written.
    assert_eq!(place.names(), ["plots", "stories.txt"]);
}

#[test]
fn the_table_marks_what_is_suggested() {
    let place = Place::new();
    let args = args(&place);
    let text = place.ok(&with(&args, &["--num-it", "40", "--end-lr", "1", "--quiet"])).stdout;
    let marked = |name: &str| text.lines().filter(|line| line.contains(name)).count();
    // In its row, and below the table.
    assert_eq!((marked("valley"), marked("minimum")), (2, 2), "{text}");
    assert!(text.contains("after the last step"), "{text}");
}

#[test]
fn the_stage_of_a_recipe_is_swept() {
    let place = Place::new();
    let args = args(&place);
    let stage = |frozen| {
        format!(
            "[[stages]]\nlength = {{ epochs = 1 }}\nfrozen_groups = {frozen}\n\
             learning_rate = 1e-3\nschedule = {{ one-cycle = {{}} }}\n"
        )
    };
    let recipe = format!("groups = {{ blocks = 2 }}\n{}{}", stage(2), stage(0));
    place.write("recipe.toml", recipe);
    let losses = |stage: &str| {
        let sweep = ["--recipe", "recipe.toml", "--num-it", "12", "--start-lr", "1e-3"];
        let found = place.json(&with(&args, &[&sweep[..], &["--stage", stage]].concat()));
        found["points"].as_array().unwrap().iter().map(|p| p["loss"].clone()).collect::<Vec<_>>()
    };
    let (first, second) = (losses("1"), losses("2"));
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1..], second[1..]);
}

#[test]
fn what_has_no_part_in_a_sweep_is_refused() {
    let place = Place::new();
    let args = args(&place);
    for (more, part) in [
        (&["--learning-rate", "1e-3"][..], "`learning_rate` has no part in a sweep"),
        (&["--eval-steps", "3"], "`eval_steps` has no part in a sweep"),
        (&["--valid-data", "stories.txt"], "`valid_data` has no part in a sweep"),
        (&["--num-it", "2"], "`num_it` is 2, expected at least 6"),
        (&["--stage", "2"], "`stage` is 2, expected a stage from 1 to 1"),
        (&["--end-lr", "1e-9"], "`end_lr` is"),
        (&["--output", "."], "`output` is the folder ., expected a file"),
        (&["--output", "stories.txt"], "`output` is stories.txt, expected another place"),
    ] {
        place.refused(&with(&args, more), &[part]);
    }
    assert_eq!(place.names(), ["stories.txt"]);
    let help = place.ok(&["lr-find", "--help"]).stdout;
    assert!(help.contains("--weight-decay") && !help.contains("--learning-rate"), "{help}");
}
