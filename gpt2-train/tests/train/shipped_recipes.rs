//! The recipes of the published models, `examples/recipes`.

use std::path::{Path, PathBuf};

use gpt2_train::optim::{AdamForm, ClipMode};
use gpt2_train::{
    LayerGroups, LrScheduler, OneCycle, Recipe, RecipeFile, Schedule, Stage, StageLength,
    TrainingConfig,
};
use serde_json::Map;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recipes")
}

fn recipe(name: &str) -> (TrainingConfig, Recipe) {
    let file = RecipeFile::read(folder().join(name).with_extension("toml"));
    file.and_then(|file| file.resolve(&Map::new())).unwrap()
}

fn epochs(recipe: &Recipe) -> Vec<f64> {
    let epochs = |stage: &Stage| match stage.length {
        StageLength::Epochs(epochs) => epochs,
        StageLength::Steps(steps) => panic!("{steps} steps"),
    };
    recipe.stages.iter().map(epochs).collect()
}

#[test]
fn every_file_of_the_folder_is_a_recipe_with_sources() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        recipe(&name);
        let text = std::fs::read_to_string(&path).unwrap();
        let content = text.split_once("[training]").unwrap().1.split("[[stages]]").next().unwrap();
        for line in content.lines().filter(|line| line.contains(" = ")) {
            let has_source = line.contains('[') || line.contains("not published");
            assert!(has_source, "{name}: `{line}` has no source");
        }
        names.push(name);
    }
    names.sort();
    let expected = ["czech", "indonesian", "indonesian_kids_stories", "japanese", "portuguese"];
    assert_eq!(names, expected);
}

#[test]
fn the_transfer_recipe_unfreezes_four_groups_in_one_cycles() {
    let (config, recipe) = recipe("portuguese");
    let expected = TrainingConfig {
        weight_decay: 0.01,
        adam_beta2: 0.99,
        adam_epsilon: 1e-5,
        max_grad_norm: 0.0,
        eval_on_start: true,
        ..TrainingConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!(
        (recipe.adam, recipe.groups.clone()),
        (AdamForm::Torch, LayerGroups::Blocks { blocks: 3 })
    );
    assert_eq!(epochs(&recipe), [1.0, 1.0, 1.0, 2.0]);
    let frozen: Vec<_> = recipe.stages.iter().map(|stage| stage.frozen_groups).collect();
    assert_eq!(frozen, [3, 2, 1, 0]);
    for (stage, highest) in recipe.stages.iter().zip([2e-3, 1e-3, 5e-4, 1e-4]) {
        assert_eq!(stage.learning_rate, highest);
        assert_eq!(stage.schedule, Schedule::OneCycle(OneCycle::default()));
        let lowest = (stage.frozen_groups < 3).then(|| highest / 2.6f64.powi(4));
        let apart = stage.lowest_learning_rate.zip(lowest).map(|(a, b)| (a / b - 1.0).abs());
        assert_eq!(stage.lowest_learning_rate.is_some(), lowest.is_some());
        assert!(apart.is_none_or(|apart| apart < 1e-15), "{stage:?}");
    }
}

#[test]
fn two_recipes_follow_the_transfer_recipe() {
    let (config, portuguese) = recipe("portuguese");
    assert_eq!(recipe("czech"), (config.clone(), portuguese.clone()));
    let (indonesian_config, indonesian) = recipe("indonesian");
    assert_eq!(indonesian_config, config);
    assert!((epochs(&indonesian).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    // One epoch in all, divided as the five of the recipe are.
    assert_eq!(indonesian, portuguese.scaled(0.2).unwrap());
}

#[test]
fn the_stories_are_read_with_the_defaults_of_the_trainer() {
    let (config, recipe) = recipe("indonesian_kids_stories");
    let expected =
        TrainingConfig { num_train_epochs: 10.0, dropout: Some(0.1), ..TrainingConfig::default() };
    assert_eq!(config, expected);
    assert_eq!(config.lr_scheduler, LrScheduler::Linear);
    assert_eq!(recipe, Recipe::from(&config));
}

#[test]
fn the_japanese_model_is_trained_as_keras_does() {
    let (config, recipe) = recipe("japanese");
    let expected = TrainingConfig {
        per_device_batch_size: 2,
        clip: ClipMode::PerTensor,
        early_stopping_patience: Some(1),
        ..TrainingConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!((recipe.adam, recipe.ignored_token_id), (AdamForm::Keras, Some(0)));
    let [stage] = recipe.stages[..] else { panic!("{:?}", recipe.stages) };
    assert_eq!((stage.length, stage.learning_rate), (StageLength::Epochs(10.0), 1e-4));
    assert_eq!(stage.schedule, Schedule::LinearFromZero { warmup_steps: 0 });
    // 254,256 steps an epoch: the first has rate 0, the second the highest but one part.
    assert_eq!(stage.schedule.factor(0, 2_542_560), 0.0);
}
