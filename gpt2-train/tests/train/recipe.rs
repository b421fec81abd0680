//! Stages: what they train, at which rates, and what they forget.

use gpt2_core::Gpt2;
use gpt2_train::data::Example;
use gpt2_train::optim::{AdamForm, is_norm};
use gpt2_train::record::StepRecord;
use gpt2_train::{
    Control, Dataset, Event, LayerGroups, LrScheduler, NoCallback, OneCycle, Recipe, Schedule,
    Stage, StageLength, Trainer, TrainingConfig,
};

use super::support::SMALL;

fn options() -> TrainingConfig {
    TrainingConfig {
        per_device_batch_size: 4,
        dropout: Some(0.0),
        shuffle: false,
        weight_decay: 0.01,
        ..TrainingConfig::default()
    }
}

fn stage(steps: usize) -> Stage {
    Stage {
        length: StageLength::Steps(steps),
        frozen_groups: 0,
        learning_rate: 1e-2,
        lowest_learning_rate: None,
        schedule: Schedule::Constant { warmup_steps: 0 },
    }
}

fn run(options: TrainingConfig, recipe: Recipe, model: Gpt2) -> (Gpt2, Vec<StepRecord>) {
    let mut steps = Vec::new();
    let trainer = Trainer::with_recipe(options, recipe).unwrap();
    let outcome = trainer
        .run(model, &SMALL.data(16), None, &mut |event: &Event, _: &Gpt2| {
            if let Event::Step(record) = event {
                steps.push(*record);
            }
            Ok(Control::Continue)
        })
        .unwrap();
    (outcome.model, steps)
}

/// Names of the parameters that are no longer what they were.
fn moved(before: &Gpt2, after: &Gpt2) -> Vec<String> {
    let pairs = before.parameters().into_iter().zip(after.parameters());
    pairs
        .filter(|(old, new)| old.to_vec().unwrap() != new.to_vec().unwrap())
        .map(|(old, _)| old.name)
        .collect()
}

#[test]
fn of_frozen_groups_only_the_layer_norms_are_trained() {
    let groups = LayerGroups::Blocks { blocks: 2 };
    for (frozen_groups, frozen) in [(2, &["h.0.", "h.1."][..]), (1, &["h.0."]), (0, &[])] {
        let stages = vec![Stage { frozen_groups, ..stage(2) }];
        let recipe = Recipe { groups: groups.clone(), stages, ..Recipe::default() };
        let (after, _) = run(options(), recipe, SMALL.model());
        let is_frozen = |name: &str| frozen.iter().any(|block| name.starts_with(block));
        let names = SMALL.model().parameters().into_iter().map(|parameter| parameter.name);
        let expected: Vec<String> =
            names.filter(|name| !is_frozen(name) || is_norm(name)).collect();
        assert_eq!(moved(&SMALL.model(), &after), expected, "{frozen_groups}");
    }
}

#[test]
fn the_norm_of_the_gradient_is_that_of_what_is_trained() {
    let norm = |frozen_groups| {
        let stages = vec![Stage { frozen_groups, ..stage(1) }];
        let groups = LayerGroups::Blocks { blocks: 2 };
        run(options(), Recipe { groups, stages, ..Recipe::default() }, SMALL.model()).1[0].grad_norm
    };
    assert!(norm(2) < norm(1) && norm(1) < norm(0));
}

#[test]
fn a_stage_is_a_run_of_its_own_with_an_optimizer_that_has_seen_nothing() {
    let steep = Stage {
        learning_rate: 2e-2,
        schedule: Schedule::OneCycle(OneCycle::default()),
        ..stage(4)
    };
    let with = |stages: &[Stage]| Recipe { stages: stages.to_vec(), ..Recipe::default() };
    // Sixteen sequences are four steps: the second stage begins with an epoch.
    let (both, steps) = run(options(), with(&[stage(4), steep]), SMALL.model());
    let (first, first_steps) = run(options(), with(&[stage(4)]), SMALL.model());
    let (second, second_steps) = run(options(), with(&[steep]), first);
    assert!(moved(&both, &second).is_empty());
    let numbers = |steps: &[StepRecord]| -> Vec<[f64; 3]> {
        steps.iter().map(|step| [step.loss, step.learning_rate, step.adam_beta1]).collect()
    };
    assert_eq!(numbers(&steps), numbers(&[first_steps, second_steps].concat()));
    // Within one stage it remembers.
    let longer =
        run(options(), with(&[Stage { length: StageLength::Steps(8), ..stage(8) }]), SMALL.model());
    let apart = run(options(), with(&[stage(4), stage(4)]), SMALL.model());
    assert!(!moved(&longer.0, &apart.0).is_empty());
}

#[test]
fn rates_differ_between_groups_and_stages_end_with_their_epochs() {
    let stages = vec![
        Stage { length: StageLength::Epochs(1.0), ..stage(1) },
        Stage { length: StageLength::Epochs(0.5), lowest_learning_rate: Some(1e-4), ..stage(1) },
    ];
    let groups = LayerGroups::Blocks { blocks: 2 };
    let (_, steps) = run(options(), Recipe { groups, stages, ..Recipe::default() }, SMALL.model());
    let rates: Vec<_> =
        steps.iter().map(|step| (step.lowest_learning_rate, step.learning_rate)).collect();
    let (alike, spread) = ((1e-2, 1e-2), (1e-4, 1e-2));
    assert_eq!(rates.len(), 6);
    for (found, expected) in rates.iter().zip([alike, alike, alike, alike, spread, spread]) {
        assert!((found.0 - expected.0).abs() < 1e-15 && (found.1 - expected.1).abs() < 1e-15);
    }
}

#[test]
fn fractions_of_an_epoch_make_up_an_epoch() {
    let epochs = |epochs| Stage { length: StageLength::Epochs(epochs), ..stage(1) };
    let total = |stages: Vec<Stage>| {
        run(options(), Recipe { stages, ..Recipe::default() }, SMALL.model()).1.len()
    };
    // Four steps are an epoch: the stages end after 0.8, 1.6, 2.4 and 4 steps.
    assert_eq!(total([0.2, 0.2, 0.2, 0.4].map(epochs).to_vec()), 4);
    assert_eq!(total([0.3, 0.3, 0.4].map(epochs).to_vec()), 4);
    // Every stage has a step, and one that is counted in steps ends where they end.
    assert_eq!(total([0.01, 0.01, 0.5].map(epochs).to_vec()), 3);
    assert_eq!(total(vec![epochs(0.3), stage(3), epochs(0.25)]), 6);
}

#[test]
fn options_alone_are_a_recipe_of_one_stage() {
    let options = TrainingConfig {
        max_steps: Some(6),
        lr_scheduler: LrScheduler::OneCycle,
        learning_rate: 1e-2,
        ..options()
    };
    let (_, steps) = run(options.clone(), Recipe::from(&options), SMALL.model());
    let mut plain = Vec::new();
    let trainer = Trainer::new(options).unwrap();
    let record = &mut |event: &Event, _: &Gpt2| {
        if let Event::Step(StepRecord { loss, learning_rate, .. }) = event {
            plain.push((*loss, *learning_rate));
        }
        Ok(Control::Continue)
    };
    trainer.run(SMALL.model(), &SMALL.data(16), None, record).unwrap();
    let found: Vec<_> = steps.iter().map(|step| (step.loss, step.learning_rate)).collect();
    assert_eq!(found, plain);
    assert!((steps[0].learning_rate - 4e-4).abs() < 1e-12 && steps[0].adam_beta1 == 0.95);
}

#[test]
fn forms_of_adam_differ_where_epsilon_counts() {
    let after = |adam, adam_epsilon| {
        let stages = vec![stage(1)];
        let options = TrainingConfig { adam_epsilon, ..options() };
        let model = run(options, Recipe { adam, stages, ..Recipe::default() }, SMALL.model()).0;
        model.parameters()[0].to_vec().unwrap()
    };
    let distance = |adam_epsilon| {
        let (torch, keras) =
            (after(AdamForm::Torch, adam_epsilon), after(AdamForm::Keras, adam_epsilon));
        torch.iter().zip(keras).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(distance(1e-12) < 1e-5, "{}", distance(1e-12));
    assert!(distance(1e-3) > 1e-4, "{}", distance(1e-3));
}

#[test]
fn groups_that_are_not_those_of_the_model_are_refused() {
    let others = ["wte", "wpe", "ln_f"].map(str::to_string).to_vec();
    let recipe = Recipe {
        groups: LayerGroups::Modules(vec![vec!["h.0".to_string()], others]),
        stages: vec![stage(1)],
        ..Recipe::default()
    };
    let trainer = Trainer::with_recipe(options(), recipe).unwrap();
    let error =
        trainer.run(SMALL.model(), &SMALL.data(16), None, &mut NoCallback).unwrap_err().to_string();
    assert!(
        error.contains("`groups`") && error.contains("`h.1.ln_1.weight` in no group"),
        "{error}"
    );
}

#[test]
fn a_padding_id_is_never_a_target() {
    let example = Example::new(vec![5, 0, 6, 0]).ignoring(0);
    assert_eq!(example.input_ids, [5, 0, 6, 0]);
    assert_eq!(example.labels, Some(vec![5, -100, 6, -100]));
    assert_eq!(example.scored(), 1);
    let given = Example { input_ids: vec![1, 2, 3], labels: Some(vec![-100, 3, 2]) };
    assert_eq!(given.ignoring(3).labels, Some(vec![-100, -100, 2]));
}

#[test]
fn a_recipe_leaves_out_a_token_in_training_and_in_evaluation() {
    let train =
        Dataset::new("training", vec![Example::new(vec![5, 0, 6, 0])], &SMALL.config()).unwrap();
    let losses = |ignored_token_id, data: &Dataset| {
        let recipe = Recipe { ignored_token_id, stages: vec![stage(1)], ..Recipe::default() };
        let trainer = Trainer::with_recipe(options(), recipe).unwrap();
        let mut first = 0.0;
        let outcome =
            trainer.run(SMALL.model(), data, Some(data), &mut |event: &Event, _: &Gpt2| {
                if let Event::Step(record) = event {
                    first = record.loss;
                }
                Ok(Control::Continue)
            })?;
        Ok::<_, gpt2_train::Error>((first, outcome.best.unwrap().0.eval_loss))
    };
    let masked = train.ignoring(0).unwrap();
    assert_eq!(losses(Some(0), &train).unwrap(), losses(None, &masked).unwrap());
    assert_ne!(losses(Some(0), &train).unwrap(), losses(None, &train).unwrap());
    let padding =
        Dataset::new("training", vec![Example::new(vec![5, 0, 0])], &SMALL.config()).unwrap();
    let message = losses(Some(0), &padding).unwrap_err().to_string();
    assert!(message.contains("the training data: there is no token to predict"), "{message}");
}
