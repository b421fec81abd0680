//! Checkpoints: a run that goes on is the run that was never stopped, and no other run goes on.

use std::fs;
use std::path::{Path, PathBuf};

use gpt2_core::{Gpt2, ModelFolder, device};
use gpt2_train::checkpoint::checkpoints;
use gpt2_train::data::blocks;
use gpt2_train::record::{EpochRecord, EvaluationRecord, StepRecord};
use gpt2_train::{
    Checkpoints, ComputeDType, Control, Dataset, Event, LayerGroups, NoCallback, OneCycle, Outcome,
    Recipe, Result, Resume, Schedule, Stage, StageLength, Trainer, TrainingConfig,
};

use super::support::SMALL;

/// Dropout, accumulation, evaluations inside epochs, and a best model that is not the last.
fn options() -> TrainingConfig {
    TrainingConfig {
        per_device_batch_size: 2,
        gradient_accumulation_steps: 2,
        num_train_epochs: 2.0,
        learning_rate: 3e-2,
        weight_decay: 0.01,
        eval_steps: Some(2),
        eval_on_start: true,
        load_best_model_at_end: true,
        ..TrainingConfig::default()
    }
}

fn staged() -> Recipe {
    let stage = |steps, frozen_groups, learning_rate: f64| Stage {
        length: StageLength::Steps(steps),
        frozen_groups,
        learning_rate,
        lowest_learning_rate: (frozen_groups == 0).then_some(learning_rate / 10.0),
        schedule: Schedule::OneCycle(OneCycle::default()),
    };
    Recipe {
        groups: LayerGroups::Blocks { blocks: 2 },
        stages: vec![stage(3, 2, 1e-2), stage(4, 1, 1e-2), stage(4, 0, 5e-3)],
        ..Recipe::default()
    }
}

/// What a run tells, without times.
#[derive(Debug, Clone, PartialEq)]
enum Line {
    Step(StepRecord),
    Evaluated(EvaluationRecord),
    Epoch(EpochRecord),
}

fn line(event: &Event) -> Option<Line> {
    let timeless = |record: EvaluationRecord| EvaluationRecord { seconds: 0.0, ..record };
    match event {
        Event::Step(record) => Some(Line::Step(StepRecord {
            tokens_per_second: 0.0,
            // The norm of a step that was skipped may be no number, which equals nothing.
            grad_norm: if record.skipped.is_some() { 0.0 } else { record.grad_norm },
            ..*record
        })),
        Event::Evaluated(record) => Some(Line::Evaluated(timeless(*record))),
        Event::Epoch(record) => Some(Line::Epoch(EpochRecord {
            seconds: 0.0,
            evaluation: record.evaluation.map(timeless),
            ..*record
        })),
        _ => None,
    }
}

/// The step that a line is of.
fn step_of(line: &Line) -> usize {
    match line {
        Line::Step(record) => record.step,
        Line::Evaluated(record) => record.step,
        Line::Epoch(record) => record.step,
    }
}

fn trainer(options: &TrainingConfig, recipe: &Recipe) -> Trainer {
    Trainer::with_recipe(options.clone(), recipe.clone()).unwrap()
}

fn at(folder: &Path, resume: Resume) -> Checkpoints {
    Checkpoints { resume, ..Checkpoints::new(folder) }
}

/// Runs to the event of this number, which stops the run, or to the end.
fn run(trainer: &Trainer, stop_at: usize) -> (Outcome, Vec<Line>) {
    let (mut lines, mut count) = (Vec::new(), 0);
    let outcome = trainer.run(
        SMALL.model(),
        &SMALL.data(18),
        Some(&SMALL.data(6)),
        &mut |event: &Event, _: &Gpt2| {
            lines.extend(line(event));
            count += 1;
            Ok(if count == stop_at { Control::Stop } else { Control::Continue })
        },
    );
    (outcome.unwrap(), lines)
}

fn weights(model: &Gpt2) -> Vec<Vec<f32>> {
    model.parameters().iter().map(|parameter| parameter.to_vec().unwrap()).collect()
}

/// Stops a run at every event it has, or every so many, goes on, and compares with the run that
/// nothing stopped.
fn assert_resuming_changes_nothing(options: &TrainingConfig, recipe: &Recipe, every: usize) {
    let (whole, expected) = run(&trainer(options, recipe), usize::MAX);
    for stop_at in (1..).step_by(every) {
        let place = tempfile::tempdir().unwrap();
        let start = trainer(options, recipe).with_checkpoints(at(place.path(), Resume::No));
        let (outcome, mut lines) = run(&start, stop_at);
        if !outcome.stopped {
            assert!(stop_at > 20, "the run has more events");
            return;
        }
        let go_on = trainer(options, recipe).with_checkpoints(at(place.path(), Resume::Latest));
        let (outcome, rest) = run(&go_on, usize::MAX);
        // Before the first step there is nothing to save, so all of it is done again.
        lines.retain(|line| step_of(line) > 0 || rest.iter().all(|line| step_of(line) > 0));
        lines.extend(rest);
        assert!(lines == expected, "stopped at event {stop_at}");
        assert!(weights(&outcome.model) == weights(&whole.model), "stopped at event {stop_at}");
        assert_eq!(outcome.best.unwrap().0.step, whole.best.as_ref().unwrap().0.step);
    }
}

#[test]
fn a_run_that_is_stopped_anywhere_and_goes_on_is_the_uninterrupted_run() {
    let options = options();
    assert_resuming_changes_nothing(&options, &Recipe::from(&options), 1);
}

#[test]
fn a_run_of_stages_goes_on_inside_a_stage_and_between_stages() {
    assert_resuming_changes_nothing(
        &TrainingConfig { save_steps: Some(2), ..options() },
        &staged(),
        3,
    );
}

#[test]
fn a_run_with_lora_goes_on_and_its_checkpoints_hold_no_base() {
    let options =
        TrainingConfig { lora_r: Some(2), lora_dropout: 0.1, weight_decay: 0.1, ..options() };
    assert_resuming_changes_nothing(&options, &Recipe::from(&options), 5);
    let (place, _) = finished(&options);
    let checkpoint = place.path().join("checkpoint-10");
    assert!(checkpoint.join("adapter/adapter_model.safetensors").is_file());
    assert!(!checkpoint.join("model.safetensors").exists());
    let trainer = trainer(&options, &Recipe::from(&options))
        .with_checkpoints(at(place.path(), Resume::Latest));
    let other = Gpt2::init(&SMALL.config(), 2, &device::test_device()).unwrap();
    let message =
        trainer.run(other, &SMALL.data(18), Some(&SMALL.data(6)), &mut NoCallback).unwrap_err();
    assert!(message.to_string().contains("`base_model`"), "{message}");
}

#[test]
fn loss_scale_and_skipped_steps_go_on() {
    let options = TrainingConfig {
        dtype: ComputeDType::F16,
        gradient_checkpointing: true,
        skip_z_score: Some(0.05),
        num_train_epochs: 60.0,
        eval_steps: None,
        ..options()
    };
    let (_, lines) = run(&trainer(&options, &Recipe::from(&options)), usize::MAX);
    let skipped = |line: &&Line| matches!(line, Line::Step(record) if record.skipped.is_some());
    assert!(lines.iter().filter(skipped).count() > 3);
    assert_resuming_changes_nothing(&options, &Recipe::from(&options), 190);
}

#[test]
fn early_stopping_counts_on() {
    let options = TrainingConfig {
        early_stopping_patience: Some(2),
        eval_steps: Some(1),
        num_train_epochs: 40.0,
        learning_rate: 5e-1,
        ..options()
    };
    let (whole, _) = run(&trainer(&options, &Recipe::from(&options)), usize::MAX);
    assert!(whole.steps < 40 * 5, "{} steps", whole.steps);
    assert_resuming_changes_nothing(&options, &Recipe::from(&options), 7);
}

#[test]
fn a_run_that_dies_goes_on_from_its_last_checkpoint() {
    let options = TrainingConfig { save_steps: Some(2), ..options() };
    let recipe = Recipe::from(&options);
    let (whole, expected) = run(&trainer(&options, &recipe), usize::MAX);
    let place = tempfile::tempdir().unwrap();
    let start = trainer(&options, &recipe).with_checkpoints(at(place.path(), Resume::No));
    let mut dies = |event: &Event, _: &Gpt2| match event {
        Event::Step(record) if record.step == 5 => {
            Err(gpt2_train::Error::io("write", "/full")(std::io::Error::other("no space")))
        }
        _ => Ok(Control::Continue),
    };
    start.run(SMALL.model(), &SMALL.data(18), Some(&SMALL.data(6)), &mut dies).unwrap_err();
    assert_eq!(steps(place.path()), [2, 4]);
    let go_on = trainer(&options, &recipe).with_checkpoints(at(place.path(), Resume::Latest));
    let (outcome, rest) = run(&go_on, usize::MAX);
    let after: Vec<Line> = expected.into_iter().filter(|line| step_of(line) > 4).collect();
    assert_eq!(rest, after);
    assert_eq!(weights(&outcome.model), weights(&whole.model));
}

fn steps(folder: &Path) -> Vec<usize> {
    checkpoints(folder).unwrap().into_iter().map(|(step, _)| step).collect()
}

/// A finished run of two epochs of five steps with its checkpoints.
fn finished(options: &TrainingConfig) -> (tempfile::TempDir, Outcome) {
    let place = tempfile::tempdir().unwrap();
    let recipe = Recipe::from(options);
    let trainer = trainer(options, &recipe).with_checkpoints(at(place.path(), Resume::No));
    let (outcome, _) = run(&trainer, usize::MAX);
    (place, outcome)
}

#[test]
fn checkpoints_come_with_epochs_or_steps_and_the_latest_are_kept() {
    assert_eq!(steps(finished(&options()).0.path()), [5, 10]);
    let often = TrainingConfig { save_steps: Some(3), save_total_limit: 3, ..options() };
    assert_eq!(steps(finished(&often).0.path()), [6, 9, 10]);
}

/// As `save_total_limit` of `transformers` with `load_best_model_at_end`.
#[test]
fn the_checkpoint_of_the_best_evaluation_is_kept_beside_the_latest() {
    // Another order of the same tokens, at which the model gets worse and worse.
    let stream: Vec<u32> = (0..40).rev().collect();
    let valid = Dataset::new("validation", blocks(&[stream], None, 8), &SMALL.config()).unwrap();
    let often = TrainingConfig { save_steps: Some(2), eval_steps: Some(2), ..options() };
    let kept = |save_total_limit, load_best_model_at_end| {
        let place = tempfile::tempdir().unwrap();
        let options = TrainingConfig { save_total_limit, load_best_model_at_end, ..often.clone() };
        let trainer = trainer(&options, &Recipe::from(&options))
            .with_checkpoints(at(place.path(), Resume::No));
        let outcome =
            trainer.run(SMALL.model(), &SMALL.data(18), Some(&valid), &mut NoCallback).unwrap();
        assert_eq!(outcome.best.unwrap().0.step, 2);
        steps(place.path())
    };
    assert_eq!(kept(1, true), [2, 10]);
    assert_eq!(kept(2, true), [2, 10]);
    assert_eq!(kept(3, true), [2, 8, 10]);
    assert_eq!(kept(1, false), [10]);
    assert_eq!(kept(3, false), [6, 8, 10]);
}

#[test]
fn a_callback_can_ask_for_a_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let options = options();
    let trainer =
        trainer(&options, &Recipe::from(&options)).with_checkpoints(at(place.path(), Resume::No));
    let mut saved = Vec::new();
    let mut at_three = |event: &Event, _: &Gpt2| -> Result<Control> {
        if let Event::Saved { step, checkpoint } = event {
            saved.push(*step);
            assert!(checkpoint.join("trainer_state.toml").is_file());
        }
        let now = matches!(event, Event::Step(record) if record.step == 3);
        Ok(if now { Control::Save } else { Control::Continue })
    };
    trainer.run(SMALL.model(), &SMALL.data(18), None, &mut at_three).unwrap();
    assert_eq!(saved, [3, 5, 10]);
}

#[test]
fn a_checkpoint_is_a_model_folder() {
    let (place, outcome) = finished(&TrainingConfig { load_best_model_at_end: false, ..options() });
    let folder = ModelFolder::open(place.path().join("checkpoint-10")).unwrap();
    let loaded = folder.model(&device::test_device()).unwrap();
    assert_eq!(weights(&loaded), weights(&outcome.model));
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let (place, outcome) = finished(&options());
    let options = options();
    let again = trainer(&options, &Recipe::from(&options))
        .with_checkpoints(at(place.path(), Resume::Latest));
    let (found, lines) = run(&again, usize::MAX);
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!((found.steps, found.epochs.len()), (10, outcome.epochs.len()));
    assert_eq!(weights(&found.model), weights(&outcome.model));
}

/// The message of a run that must not go on.
fn refusal(place: &Path, options: &TrainingConfig, recipe: &Recipe, train: &Dataset) -> String {
    let trainer = trainer(options, recipe).with_checkpoints(at(place, Resume::Latest));
    let before = steps(place);
    let error =
        trainer.run(SMALL.model(), train, Some(&SMALL.data(6)), &mut NoCallback).unwrap_err();
    assert_eq!(steps(place), before, "checkpoints must stay");
    error.to_string()
}

#[test]
fn another_run_is_refused_with_the_field_that_differs() {
    let (place, _) = finished(&options());
    let place = place.path();
    let plain = Recipe::from(&options());
    for (other, field) in [
        (TrainingConfig { seed: 7, ..options() }, "`training.seed` is 42, expected 7"),
        (
            TrainingConfig { dropout: Some(0.5), ..options() },
            "`training.dropout` is null, expected 0.5",
        ),
        (
            TrainingConfig { eval_steps: None, ..options() },
            "`training.eval_steps` is 2, expected null",
        ),
    ] {
        let message = refusal(place, &other, &Recipe::from(&other), &SMALL.data(18));
        assert!(message.contains(field) && message.contains("run.json"), "{message}");
    }
    let message = refusal(place, &options(), &staged(), &SMALL.data(18));
    assert!(message.contains("`recipe."), "{message}");
    let message = refusal(place, &options(), &plain, &SMALL.data(17));
    assert!(message.contains("`data."), "{message}");
    let ids = (0..18 * 8).map(|id| id % 40).collect();
    let other = Dataset::new("training", blocks(&[ids], None, 8), &SMALL.config()).unwrap();
    let message = refusal(place, &options(), &plain, &other);
    assert!(message.contains("`data.hash`"), "{message}");
    let run = place.join("checkpoint-10/run.json");
    let text = fs::read_to_string(&run).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{text}");
    fs::write(&run, text.replace(&version, "\"version\": \"0.0.1\"")).unwrap();
    let message = refusal(place, &options(), &plain, &SMALL.data(18));
    assert!(message.contains("`version` is \"0.0.1\""), "{message}");
}

#[test]
fn how_often_and_how_many_are_saved_may_change() {
    let (place, _) = finished(&options());
    let other = TrainingConfig { save_steps: Some(1), save_total_limit: 1, ..options() };
    let again =
        trainer(&other, &Recipe::from(&other)).with_checkpoints(at(place.path(), Resume::Latest));
    assert_eq!(run(&again, usize::MAX).0.steps, 10);
}

#[test]
fn a_damaged_checkpoint_names_the_file() {
    type Damage = fn(&Path);
    let cut: Damage = |path| {
        let text = fs::read_to_string(path).unwrap();
        let best = text.find("[best]").unwrap();
        fs::write(path, &text[..best]).unwrap();
    };
    let flip: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let remove: Damage = |path| fs::remove_file(path).unwrap();
    let cases: [(&str, Damage, &str); 8] = [
        ("trainer_state.toml", cut, "trainer_state.toml: damaged"),
        ("run.json", |path| fs::write(path, "{").unwrap(), "not JSON"),
        ("checksums.json", |path| fs::write(path, "[]").unwrap(), "no checksums"),
        ("checksums.json", remove, "cannot read"),
        ("optimizer.safetensors", |path| fs::write(path, "short").unwrap(), "damaged"),
        ("optimizer.safetensors", remove, "cannot read"),
        ("model.safetensors", flip, "model.safetensors: damaged"),
        ("model.safetensors", remove, "cannot read"),
    ];
    for (file, damage, part) in cases {
        let (place, _) = finished(&options());
        damage(&place.path().join("checkpoint-10").join(file));
        let recipe = Recipe::from(&options());
        let message = refusal(place.path(), &options(), &recipe, &SMALL.data(18));
        assert!(message.contains("checkpoint-10") && message.contains(part), "{file}: {message}");
    }
}

#[test]
fn a_finished_run_may_be_replaced_and_an_unfinished_one_only_when_asked_to() {
    let (place, _) = finished(&options());
    let recipe = Recipe::from(&options());
    let again = trainer(&options(), &recipe).with_checkpoints(at(place.path(), Resume::No));
    // The start, validation, its row, and so on to a checkpoint.
    assert!(run(&again, 14).0.stopped);
    let before = steps(place.path());
    assert_eq!(before.len(), 1);
    let start =
        |resume| {
            let options = TrainingConfig { num_train_epochs: 1.0, ..options() };
            trainer(&options, &Recipe::from(&options))
                .with_checkpoints(at(place.path(), resume))
                .run(SMALL.model(), &SMALL.data(18), Some(&SMALL.data(6)), &mut NoCallback)
        };
    let message = start(Resume::No).unwrap_err().to_string();
    assert!(message.contains("did not come to its end"), "{message}");
    assert_eq!(steps(place.path()), before);
    start(Resume::Overwrite).unwrap();
    assert_eq!(steps(place.path()), [5]);
}

#[test]
fn an_older_checkpoint_can_be_chosen() {
    let (place, outcome) = finished(&options());
    let chosen: PathBuf = place.path().join("checkpoint-5");
    let options = options();
    let again = trainer(&options, &Recipe::from(&options))
        .with_checkpoints(at(place.path(), Resume::From(chosen)));
    let (found, lines) = run(&again, usize::MAX);
    assert_eq!(step_of(&lines[0]), 6);
    assert_eq!(weights(&found.model), weights(&outcome.model));
    let missing = Resume::From(place.path().join("checkpoint-7"));
    let again =
        trainer(&options, &Recipe::from(&options)).with_checkpoints(at(place.path(), missing));
    assert!(again.run(SMALL.model(), &SMALL.data(18), None, &mut NoCallback).is_err());
    assert_eq!(steps(place.path()), [5, 10]);
}

#[test]
fn leftovers_of_a_killed_run_are_removed_and_two_runs_at_once_are_refused() {
    let (place, _) = finished(&options());
    fs::create_dir(place.path().join(".writing-abc")).unwrap();
    let options = options();
    let trainer = trainer(&options, &Recipe::from(&options))
        .with_checkpoints(at(place.path(), Resume::Overwrite));
    let inner = trainer.clone();
    let mut message = String::new();
    let mut second = |event: &Event, _: &Gpt2| -> Result<Control> {
        if matches!(event, Event::Started { .. }) {
            let run = inner.run(SMALL.model(), &SMALL.data(18), None, &mut NoCallback);
            message = run.unwrap_err().to_string();
        }
        Ok(Control::Stop)
    };
    trainer.run(SMALL.model(), &SMALL.data(18), None, &mut second).unwrap();
    assert!(message.contains("another run is writing here"), "{message}");
    assert!(!place.path().join(".writing-abc").exists());
}

#[test]
fn a_loss_that_is_no_number_names_the_last_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let wild = TrainingConfig {
        learning_rate: 1e30,
        max_grad_norm: 0.0,
        save_steps: Some(1),
        eval_on_start: false,
        eval_steps: None,
        ..options()
    };
    let trainer =
        trainer(&wild, &Recipe::from(&wild)).with_checkpoints(at(place.path(), Resume::No));
    let error =
        trainer.run(SMALL.model(), &SMALL.data(18), None, &mut NoCallback).unwrap_err().to_string();
    let last = checkpoints(place.path()).unwrap().pop().unwrap().1;
    assert!(error.contains("at step") && error.contains(last.to_str().unwrap()), "{error}");
}

/// The way a runtime fails; what a backend of the processor panics about stays a panic.
#[test]
fn a_device_that_is_lost_leaves_a_checkpoint_that_the_error_names() {
    let device = device::test_device();
    let place = tempfile::tempdir().unwrap();
    let options = TrainingConfig { save_steps: Some(2), max_steps: Some(6), ..options() };
    let trainer =
        |resume| trainer(&options, &Recipe::default()).with_checkpoints(at(place.path(), resume));
    let mut lost = |event: &Event, _: &Gpt2| match event {
        Event::Step(record) if record.step == 5 => panic!("the device was lost (Unknown): reset"),
        _ => Ok(Control::Continue),
    };
    if !device::is_gpu(&device) {
        return;
    }
    let run = trainer(Resume::No).run(SMALL.model(), &SMALL.data(18), None, &mut lost);
    let error = run.unwrap_err().to_string();
    assert!(error.starts_with("after step 4: the device was lost"), "{error}");
    let (_, last) = checkpoints(place.path()).unwrap().pop().unwrap();
    assert!(error.contains(&last.display().to_string()), "{error}");
    let on = trainer(Resume::Latest);
    let outcome = on.run(SMALL.model(), &SMALL.data(18), None, &mut NoCallback).unwrap();
    assert_eq!(outcome.steps, 6);
}
