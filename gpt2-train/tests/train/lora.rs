//! Training of low-rank weights: they and nothing else move, and recipes hold for them too.

use gpt2_core::Gpt2;
use gpt2_core::weights::names::is_lora;
use gpt2_train::{
    ComputeDType, Control, Event, LayerGroups, NoCallback, Outcome, Recipe, RecipeFile, Schedule,
    Stage, StageLength, Trainer, TrainingConfig, evaluate, recipe_toml,
};

use super::support::MEDIUM;

fn options() -> TrainingConfig {
    TrainingConfig {
        learning_rate: 1e-2,
        num_train_epochs: 6.0,
        weight_decay: 0.01,
        lora_r: Some(8),
        lora_alpha: 16.0,
        lora_target_modules: ["c_attn", "c_proj", "c_fc"].map(str::to_string).to_vec(),
        ..TrainingConfig::default()
    }
}

fn run(options: TrainingConfig) -> (Outcome, Vec<f64>) {
    let mut losses = Vec::new();
    let trainer = Trainer::new(options).unwrap();
    let outcome = trainer
        .run(MEDIUM.model(), &MEDIUM.data(32), None, &mut |event: &Event, _: &Gpt2| {
            if let Event::Step(record) = event {
                losses.push(record.loss);
            }
            Ok(Control::Continue)
        })
        .unwrap();
    (outcome, losses)
}

/// Names of the parameters of `after` that are not those of `before`, or have other values.
fn moved(before: &Gpt2, after: &Gpt2) -> Vec<String> {
    let before: Vec<_> =
        before.parameters().into_iter().map(|p| (p.name.clone(), p.to_vec().unwrap())).collect();
    let after = after.parameters().into_iter();
    let other = after.filter(|p| !before.contains(&(p.name.clone(), p.to_vec().unwrap())));
    other.map(|p| p.name).collect()
}

#[test]
fn only_low_rank_weights_are_trained_and_they_learn() {
    let (outcome, losses) = run(options());
    assert!(losses[losses.len() - 1] < losses[0] - 0.3, "{losses:?}");
    let moved = moved(&MEDIUM.model(), &outcome.model);
    assert_eq!(moved.len(), 2 * 4 * 2);
    assert!(moved.iter().all(|name| is_lora(name)), "{moved:?}");
    let loss = |model: &Gpt2| evaluate(model, &MEDIUM.data(32), 8, |_| Ok(())).unwrap().loss;
    let merged = outcome.model.clone().merge_lora();
    assert!((loss(&merged) - loss(&outcome.model)).abs() < 1e-5);
    assert!(loss(&merged) < loss(&MEDIUM.model()) - 0.3);
}

#[test]
fn one_seed_is_one_run_with_low_rank_dropout_too() {
    let short = TrainingConfig { max_steps: Some(4), lora_dropout: 0.3, ..options() };
    let first = run(short.clone()).1;
    assert_eq!(first, run(short.clone()).1);
    let without = TrainingConfig { lora_dropout: 0.0, ..short.clone() };
    assert_ne!(first, run(without).1);
    assert_ne!(first, run(TrainingConfig { seed: 7, ..short }).1);
}

#[test]
fn low_rank_dropout_works_on_inputs_in_half_precision() {
    // Such is the input of the second projection of an MLP.
    let plain = TrainingConfig { max_steps: Some(6), lora_dropout: 0.1, ..options() };
    let half = TrainingConfig { dtype: ComputeDType::Bf16, ..plain.clone() };
    for (found, expected) in run(half).1.iter().zip(run(plain).1) {
        assert!((found - expected).abs() < 0.03, "{found} is not {expected}");
    }
}

#[test]
fn an_adapter_is_trained_on_and_needs_no_option() {
    let plain = TrainingConfig { max_steps: Some(2), ..TrainingConfig::default() };
    let start = MEDIUM.model().with_lora(&options().lora().unwrap(), 3).unwrap();
    let again = Trainer::new(plain).unwrap();
    let outcome = again.run(start.clone(), &MEDIUM.data(32), None, &mut NoCallback).unwrap();
    assert!(moved(&start, &outcome.model).iter().all(|name| is_lora(name)));
    assert_eq!(outcome.model.lora(), start.lora());
    let twice =
        Trainer::new(options()).unwrap().run(start, &MEDIUM.data(32), None, &mut NoCallback);
    assert!(twice.unwrap_err().to_string().contains("one with LoRA"));
}

fn staged(frozen_groups: usize) -> Recipe {
    let stage = Stage {
        length: StageLength::Steps(2),
        frozen_groups,
        learning_rate: 1e-2,
        lowest_learning_rate: None,
        schedule: Schedule::Constant { warmup_steps: 0 },
    };
    Recipe { groups: LayerGroups::Blocks { blocks: 2 }, stages: vec![stage], ..Recipe::default() }
}

#[test]
fn low_rank_weights_are_frozen_with_the_group_of_their_module() {
    let trainer = Trainer::with_recipe(options(), staged(1)).unwrap();
    let outcome = trainer.run(MEDIUM.model(), &MEDIUM.data(32), None, &mut NoCallback).unwrap();
    let start = MEDIUM.model().with_lora(&options().lora().unwrap(), options().seed).unwrap();
    let moved = moved(&start, &outcome.model);
    assert_eq!(moved.len(), 4 * 2);
    assert!(moved.iter().all(|name| name.starts_with("h.1.") && is_lora(name)), "{moved:?}");
}

#[test]
fn a_stage_with_nothing_to_train_is_refused() {
    let trainer = Trainer::with_recipe(options(), staged(2)).unwrap();
    let error = trainer
        .run(MEDIUM.model(), &MEDIUM.data(32), None, &mut NoCallback)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`frozen_groups` is 2"), "{error}");
}

#[test]
fn a_target_that_the_model_has_not_is_named() {
    let wrong = TrainingConfig { lora_target_modules: vec!["q_proj".to_string()], ..options() };
    let trainer = Trainer::new(wrong).unwrap();
    let error = trainer
        .run(MEDIUM.model(), &MEDIUM.data(32), None, &mut NoCallback)
        .unwrap_err()
        .to_string();
    assert!(error.contains("q_proj") && error.contains("c_attn"), "{error}");
}

#[test]
fn a_recipe_file_keeps_the_options_of_lora() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("recipe.toml");
    let recipe = staged(0);
    let options = TrainingConfig { lora_use_rslora: true, lora_dropout: 0.1, ..options() };
    std::fs::write(&path, recipe_toml(&options, &recipe).unwrap()).unwrap();
    let (again, _) = RecipeFile::read(&path).unwrap().resolve(&serde_json::Map::new()).unwrap();
    assert_eq!(again.lora(), options.lora());
}

#[test]
fn lora_trains_with_gradient_checkpointing_and_in_half_precision() {
    let last = |options: TrainingConfig| run(options).1.pop().unwrap();
    let plain = last(options());
    let checkpointed = last(TrainingConfig { gradient_checkpointing: true, ..options() });
    assert!((checkpointed - plain).abs() < 1e-5, "{checkpointed} {plain}");
    for dtype in [ComputeDType::Bf16, ComputeDType::F16] {
        let half = last(TrainingConfig { dtype, ..options() });
        assert!((half - plain).abs() < 0.05 && half != plain, "{half} {plain}");
    }
}
