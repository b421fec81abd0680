//! `gpt2 features`.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::support::{Place, expected, fixture, keys, model};

fn rows(line: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(line["features"].clone()).unwrap()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-4, "{a} is not {b}");
    }
}

#[test]
fn features_of_a_batch_of_texts_are_those_of_the_reference() {
    let (place, reference) = (Place::new(), expected("features.json"));
    let file = std::fs::read(Path::new(&fixture("expected/features.safetensors"))).unwrap();
    let arrays = SafeTensors::deserialize(&file).unwrap();
    let folder = model(reference["model"].as_str().unwrap());
    let texts = reference["texts"].as_array().unwrap();
    let lines = texts.iter().map(|text| format!("{}\n", json!({ "prompt": text["text"] })));
    place.write("prompts.jsonl", lines.collect::<String>());
    for (pool, key) in [("none", "last_hidden_state"), ("mean", "mean"), ("last", "last")] {
        let args = ["features", &folder, "--prompts", "prompts.jsonl", "--pool", pool, "--json"];
        let found = place.ok(&args).lines();
        assert_eq!(found.len(), texts.len());
        for (number, (found, text)) in found.iter().zip(texts).enumerate() {
            assert_eq!(keys(found), ["features", "ids"]);
            assert_eq!(found["ids"], text["input_ids"]);
            let expected = arrays.tensor(&format!("{number}.{key}")).unwrap();
            assert_near(&rows(found).concat(), &bytemuck::pod_collect_to_vec(expected.data()));
        }
    }
}

#[test]
fn layers_are_counted_as_in_python_and_the_last_is_the_default() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let of = |layer: &[&str]| {
        let args = ["features", &folder, "--prompt-ids", "5,6,7"];
        rows(&place.json(&[&args[..], layer].concat()))
    };
    let [first, middle, last] = ["0", "1", "2"].map(|layer| of(&["--layer", layer]));
    assert_eq!((first.len(), first[0].len()), (3, 16));
    assert_eq!(of(&["--layer", "-3"]), first);
    assert_eq!(of(&["--layer", "-2"]), middle);
    assert_eq!(of(&["--layer=-1"]), last);
    assert_eq!(of(&[]), last);
    assert_ne!(first, middle);
    assert_ne!(middle, last);
}

#[test]
fn people_see_tokens_and_the_first_numbers() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let args = ["features", &folder, "--prompt", "Nenek", "--prompt", "Ibu"];
    let ran = place.ok(&args);
    assert!(ran.stdout.contains("and 10 more"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("---\n").count(), 1, "{}", ran.stdout);
    let ran = place.ok(&[&args[..], &["--pool", "mean"]].concat());
    assert!(ran.stdout.starts_with("mean of "), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    let ran = place.ok(&["features", &folder, "--prompt-ids", "3,4", "--pool", "last"]);
    assert!(ran.stdout.starts_with("     4  "), "{}", ran.stdout);
}

#[test]
fn layers_and_prompts_that_there_are_not_are_named() {
    let (place, folder) = (Place::new(), model("bbpe"));
    let long = vec!["1"; 49].join(",");
    for (options, part) in [
        (&["--prompt", "a", "--layer", "3"][..], "`layer` is 3, expected -3 to 2"),
        (&["--prompt", "a", "--layer", "-4"], "`layer` is -4, expected -3 to 2"),
        (&["--prompt-ids", "384"], "prompt 0 has token id 384"),
        (&["--prompt-ids", &long], "prompt 0 has 49 tokens, expected at most n_positions = 48"),
        (&["--prompts", "nowhere"], "nowhere: cannot read"),
    ] {
        place.refused(&[&["features", &folder], options].concat(), &[part]);
    }
    let without = model("variants/gelu");
    place.refused(&["features", &without, "--prompt", "a"], &["gelu: there is no"]);
    for options in
        [&[][..], &["--prompt", "a", "--pool", "max"], &["--prompt", "a", "--layer", "x"]]
    {
        let ran = place.run(&[&["features", &folder], options].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{options:?}: {}", ran.stderr);
    }
}
