//! The loop: it learns, it counts tokens rightly, and one seed is one run.

use gpt2_core::Gpt2;
use gpt2_train::data::Example;
use gpt2_train::{
    Control, Dataset, Error, Event, NoCallback, Outcome, Trainer, TrainingConfig, evaluate,
};

use super::support::MEDIUM;

fn run(options: TrainingConfig, train: &Dataset, valid: Option<&Dataset>) -> (Outcome, Vec<Event>) {
    let mut events = Vec::new();
    let trainer = Trainer::new(options).unwrap();
    let outcome = trainer
        .run(MEDIUM.model(), train, valid, &mut |event: &Event, _: &Gpt2| {
            events.push(event.clone());
            Ok(Control::Continue)
        })
        .unwrap();
    (outcome, events)
}

fn losses(events: &[Event]) -> Vec<f64> {
    let loss = |event: &Event| match event {
        Event::Step(record) => Some(record.loss),
        _ => None,
    };
    events.iter().filter_map(loss).collect()
}

fn options() -> TrainingConfig {
    TrainingConfig { learning_rate: 5e-3, num_train_epochs: 8.0, ..TrainingConfig::default() }
}

#[test]
fn a_rule_is_learned_and_the_best_epoch_is_kept() {
    let (train, valid) = (MEDIUM.data(32), MEDIUM.data(4));
    let (outcome, events) = run(options(), &train, Some(&valid));
    assert_eq!((outcome.steps, outcome.epochs.len()), (32, 8));
    let (best, best_model) = outcome.best.unwrap();
    let first = outcome.epochs[0].evaluation.unwrap();
    assert!(best.eval_loss < 0.5 * first.eval_loss, "{first:?} {best:?}");
    let again = evaluate(&best_model, &valid, 3, |_| Ok(())).unwrap();
    assert!((again.loss - best.eval_loss).abs() < 1e-5);
    assert!((again.perplexity - again.loss.exp()).abs() < 1e-9);
    assert_eq!(losses(&events).len(), 32);
}

#[test]
fn one_seed_is_one_run_and_another_seed_is_another() {
    let train = MEDIUM.data(12);
    let short = TrainingConfig { num_train_epochs: 1.0, per_device_batch_size: 2, ..options() };
    let first = losses(&run(short.clone(), &train, None).1);
    assert_eq!(first, losses(&run(short.clone(), &train, None).1));
    assert_ne!(first, losses(&run(TrainingConfig { seed: 7, ..short }, &train, None).1));
}

#[test]
fn accumulation_equals_one_large_batch_when_lengths_differ() {
    let examples: Vec<Example> = (2..10u32)
        .map(|length| Example::new((0..length).map(|at| (at * 5 + length) % 40).collect()))
        .collect();
    let train = Dataset::new("training", examples, &MEDIUM.config()).unwrap();
    let with = |size, steps| TrainingConfig {
        per_device_batch_size: size,
        gradient_accumulation_steps: steps,
        dropout: Some(0.0),
        shuffle: false,
        num_train_epochs: 5.0,
        ..options()
    };
    let large = losses(&run(with(8, 1), &train, None).1);
    let small = losses(&run(with(1, 8), &train, None).1);
    assert_eq!(large.len(), 5);
    for (a, b) in large.iter().zip(&small) {
        assert!((a - b).abs() < 2e-5, "{large:?}\n{small:?}");
    }
}

#[test]
fn a_batch_larger_than_any_number_is_the_whole_data() {
    let train = MEDIUM.data(4);
    let with = |size| TrainingConfig {
        per_device_batch_size: size,
        gradient_accumulation_steps: size,
        max_steps: Some(1),
        ..options()
    };
    let huge = losses(&run(with(1 << (usize::BITS / 2)), &train, None).1);
    assert_eq!(huge, losses(&run(with(8), &train, None).1));
}

#[test]
fn ignored_labels_do_not_count() {
    let ids: Vec<u32> = (0..10).collect();
    let mut labels: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    labels[3..].fill(-100);
    let partial = Example { input_ids: ids.clone(), labels: Some(labels) };
    let prefix = Example::new(ids[..3].to_vec());
    let loss = |example: Example| {
        let data = Dataset::new("validation", vec![example], &MEDIUM.config()).unwrap();
        evaluate(&MEDIUM.model(), &data, 1, |_| Ok(())).unwrap()
    };
    let (a, b) = (loss(partial), loss(prefix));
    assert_eq!((a.tokens, b.tokens), (2, 2));
    assert!((a.loss - b.loss).abs() < 1e-5);
}

#[test]
fn early_stopping_ends_a_run_that_no_longer_gains() {
    let valid =
        Dataset::new("validation", vec![Example::new(vec![9; 16])], &MEDIUM.config()).unwrap();
    let patient = TrainingConfig {
        early_stopping_patience: Some(1),
        num_train_epochs: 50.0,
        load_best_model_at_end: true,
        ..options()
    };
    let (outcome, _) = run(patient, &MEDIUM.data(32), Some(&valid));
    assert!(outcome.epochs.len() < 50, "{}", outcome.epochs.len());
    let found = evaluate(&outcome.model, &valid, 1, |_| Ok(())).unwrap();
    assert!((found.loss - outcome.best.unwrap().0.eval_loss).abs() < 1e-5);
}

#[test]
fn evaluation_can_come_inside_an_epoch() {
    let often = TrainingConfig { eval_steps: Some(3), num_train_epochs: 2.0, ..options() };
    let (_, events) = run(often, &MEDIUM.data(32), Some(&MEDIUM.data(2)));
    let steps: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            Event::Evaluated(record) => Some(record.step),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [3, 4, 6, 8]);
}

#[test]
fn a_loss_that_is_no_number_names_the_step() {
    let wild = TrainingConfig { learning_rate: 1e30, max_grad_norm: 0.0, ..options() };
    let trainer = Trainer::new(wild).unwrap();
    let error = trainer.run(MEDIUM.model(), &MEDIUM.data(32), None, &mut NoCallback).unwrap_err();
    let Error::NonFinite { step, .. } = error else { panic!("{error}") };
    assert!((2..5).contains(&step), "{error}");
}

#[test]
fn data_that_does_not_fit_the_model_is_refused() {
    for (example, part) in [
        (Example::new(vec![40, 1]), "token id 40"),
        (Example::new(vec![1; 17]), "17 tokens"),
        (Example::new(vec![1]), "no token to predict"),
        (Example { input_ids: vec![1, 2], labels: Some(vec![1]) }, "2 input_ids and 1 labels"),
        (Example { input_ids: vec![1, 2], labels: Some(vec![1, 99]) }, "label 99"),
        (Example { input_ids: vec![1, 2], labels: Some(vec![-100, -100]) }, "no token to predict"),
    ] {
        let message =
            Dataset::new("training", vec![example], &MEDIUM.config()).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn validation_before_training_is_a_row_of_its_own_and_never_the_best() {
    let start = TrainingConfig { eval_on_start: true, num_train_epochs: 2.0, ..options() };
    let valid = MEDIUM.data(4);
    let (outcome, events) = run(start, &MEDIUM.data(32), Some(&valid));
    let before = evaluate(&MEDIUM.model(), &valid, 8, |_| Ok(())).unwrap();
    let row = outcome.epochs[0];
    assert_eq!((row.step, row.epoch, row.training_loss), (0, 0.0, None));
    assert!((row.evaluation.unwrap().eval_loss - before.loss).abs() < 1e-9);
    assert_eq!(outcome.epochs.len(), 3);
    assert!(outcome.best.unwrap().0.step > 0);
    let first = events.iter().position(|event| matches!(event, Event::Step(_))).unwrap();
    assert!(events[..first].iter().any(|event| matches!(event, Event::Evaluated(_))));
}

#[test]
fn a_callback_stops_a_run_after_its_step_or_inside_an_evaluation() {
    let stop_at = |stop: &dyn Fn(&Event) -> bool| {
        let mut after = 0;
        let outcome = Trainer::new(options())
            .unwrap()
            .run(
                MEDIUM.model(),
                &MEDIUM.data(32),
                Some(&MEDIUM.data(20)),
                &mut |event: &Event, _: &Gpt2| {
                    after += usize::from(after > 0);
                    let stop = stop(event);
                    after += usize::from(stop && after == 0);
                    Ok(if stop { Control::Stop } else { Control::Continue })
                },
            )
            .unwrap();
        assert_eq!(after, 1, "nothing may follow");
        outcome
    };
    let outcome = stop_at(&|event| matches!(event, Event::Step(record) if record.step == 3));
    assert!(outcome.stopped);
    assert_eq!((outcome.steps, outcome.epochs.len()), (3, 0));
    let outcome = stop_at(&|event| matches!(event, Event::Evaluating { .. }));
    assert_eq!((outcome.steps, outcome.epochs.len(), outcome.best.is_none()), (4, 0, true));
    assert!(!run(options(), &MEDIUM.data(32), None).0.stopped);
}
