//! Recipes as TOML.

use std::path::PathBuf;

use gpt2_train::optim::{AdamForm, ClipMode};
use gpt2_train::{
    LayerGroups, LrScheduler, OneCycle, Recipe, RecipeFile, Schedule, StageLength, TrainingConfig,
    recipe_toml,
};
use serde_json::{Map, Value, json};

const STAGES: &str = r#"
groups = [["h.0"], ["h.1"], ["wte", "wpe", "ln_f"]]

[training]
weight_decay = 0.01
clip = "per-tensor"

[[stages]]
length = { epochs = 1 }
frozen_groups = 2
learning_rate = 2e-3
schedule = { one-cycle = {} }

[[stages]]
length = { steps = 7 }
learning_rate = 1e-4
lowest_learning_rate = 2e-6
schedule = { one-cycle = { pct_start = 0.3 } }
"#;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    (place, path)
}

fn resolve(text: &str, given: Value) -> Result<(TrainingConfig, Recipe), String> {
    let (_place, path) = file(text);
    let given: Map<String, Value> = serde_json::from_value(given).unwrap();
    let found = RecipeFile::read(path).and_then(|file| file.resolve(&given));
    found.map_err(|error| error.to_string())
}

#[test]
fn a_file_says_stages_groups_and_options() {
    let (config, recipe) = resolve(STAGES, json!({})).unwrap();
    let expected = TrainingConfig {
        weight_decay: 0.01,
        clip: ClipMode::PerTensor,
        ..TrainingConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!((recipe.adam, recipe.groups.count()), (AdamForm::Torch, 3));
    let [first, second] = recipe.stages[..] else { panic!("{:?}", recipe.stages) };
    assert_eq!((first.length, first.frozen_groups), (StageLength::Epochs(1.0), 2));
    assert_eq!((first.learning_rate, first.lowest_learning_rate), (2e-3, None));
    assert_eq!((second.length, second.frozen_groups), (StageLength::Steps(7), 0));
    let cycle = OneCycle { pct_start: 0.3, ..OneCycle::default() };
    assert_eq!(second.schedule, Schedule::OneCycle(cycle));
}

#[test]
fn groups_are_lists_of_modules_or_a_number_of_blocks() {
    let with = |groups: &str| {
        let lists = r#"groups = [["h.0"], ["h.1"], ["wte", "wpe", "ln_f"]]"#;
        resolve(&STAGES.replacen(lists, groups, 1), json!({}))
    };
    let (config, recipe) = with("groups = { blocks = 2 }").unwrap();
    assert_eq!(recipe.groups, LayerGroups::Blocks { blocks: 2 });
    let written = recipe_toml(&config, &recipe).unwrap();
    assert_eq!(resolve(&written, json!({})).unwrap().1, recipe, "{written}");
    for (groups, part) in [
        ("groups = { blocks = 0 }", "`blocks` is 0, expected 1 to 65536"),
        ("groups = { blocks = 9223372036854775807 }", "`blocks` is 9223372036854775807, expected"),
        ("groups = { parts = 2 }", "line 2: `groups` is neither"),
        ("groups = 3", "line 2: `groups` is neither"),
        ("groups = { blocks = 1 }", "`frozen_groups` is 2, expected less than"),
    ] {
        let message = with(groups).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn given_options_override_the_file_and_the_file_the_defaults() {
    let text = "adam = \"keras\"\n[training]\nlearning_rate = 1e-4\nseed = 7\nmax_steps = 9\n";
    let given = json!({ "seed": 8, "lr_scheduler": "constant" });
    let (config, recipe) = resolve(text, given).unwrap();
    assert_eq!((config.learning_rate, config.seed), (1e-4, 8));
    assert_eq!(config.lr_scheduler, LrScheduler::Constant);
    // Without stages it is a run as the options say.
    assert_eq!(recipe, Recipe { adam: AdamForm::Keras, ..Recipe::from(&config) });
}

#[test]
fn what_is_written_gives_the_same_run() {
    for (text, given) in
        [(STAGES, json!({ "seed": 3 })), ("[training]\nmax_steps = 4\n", json!({}))]
    {
        let (config, recipe) = resolve(text, given).unwrap();
        let written = recipe_toml(&config, &recipe).unwrap();
        let again = resolve(&written, json!({})).unwrap();
        assert_eq!(again.1, recipe, "{written}");
        // The stage has its length and rate; the options that it came from are not said twice.
        let of_stage = TrainingConfig { max_steps: None, ..config };
        assert_eq!(again.0, of_stage, "{written}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |change: (&str, &str)| STAGES.replacen(change.0, change.1, 1);
    for (text, parts) in [
        ("adam = \"sgd\"".to_string(), &["recipe.toml, line 1: ", "`sgd`"][..]),
        ("\nadam torch".to_string(), &["recipe.toml, line 2: "]),
        (wrong(("frozen_groups", "frozen")), &["line 10: ", "`frozen`"]),
        (wrong(("weight_decay", "weight_decoy")), &["`training`: ", "`weight_decoy`"]),
        (wrong(("weight_decay = 0.01", "weight_decay = \"much\"")), &["`training`: ", "\"much\""]),
        (wrong(("weight_decay = 0.01", "weight_decay = -1")), &["`weight_decay` is -1"]),
        (wrong(("frozen_groups = 2", "frozen_groups = 3")), &["`frozen_groups` is 3"]),
        (wrong(("learning_rate = 2e-3", "learning_rate = nan")), &["`learning_rate` is NaN"]),
        (wrong(("pct_start = 0.3", "pct_start = 1.5")), &["`pct_start` is 1.5"]),
        (wrong(("weight_decay", "learning_rate")), &["`learning_rate` is 0.01", "stages of"]),
    ] {
        let message = resolve(&text, json!({})).unwrap_err();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let message = resolve(STAGES, json!({ "max_steps": 3 })).unwrap_err();
    assert!(message.contains("`max_steps` is 3, expected to be left to the stages"), "{message}");
    let missing = RecipeFile::read("/nowhere/r.toml").unwrap_err().to_string();
    assert!(missing.contains("/nowhere/r.toml: cannot read"), "{missing}");
}
