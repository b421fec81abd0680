//! The learning-rate finder: what it trains, when it ends, and what it leaves alone.

use gpt2_core::Gpt2;
use gpt2_train::data::blocks;
use gpt2_train::lr_finder::SweepEnd;
use gpt2_train::{
    Control, Dataset, Event, LayerGroups, LrFinder, LrSweep, NoCallback, Recipe, Stage,
    TrainingConfig,
};

use super::support::SMALL;

fn options() -> TrainingConfig {
    TrainingConfig { per_device_batch_size: 4, dropout: Some(0.0), ..TrainingConfig::default() }
}

/// A recipe of two stages, the first of which trains the last group alone.
fn recipe() -> Recipe {
    let stage = Recipe::from(&options()).stages[0];
    let lowest_learning_rate = Some(stage.learning_rate / 10.0);
    let stages = vec![Stage { frozen_groups: 2, ..stage }, Stage { lowest_learning_rate, ..stage }];
    Recipe { groups: LayerGroups::Blocks { blocks: 2 }, stages, ..Recipe::default() }
}

fn sweep(finder: LrFinder) -> LrSweep {
    finder.run(&options(), &recipe(), &SMALL.model(), &SMALL.data(16), &mut NoCallback).unwrap()
}

fn values(model: &Gpt2) -> Vec<Vec<f32>> {
    model.parameters().iter().map(|parameter| parameter.to_vec().unwrap()).collect()
}

#[test]
fn the_rate_rises_geometrically_and_the_loss_is_smoothed() {
    let found = sweep(LrFinder { start_lr: 1e-4, end_lr: 1e-1, num_it: 30, ..LrFinder::default() });
    assert_eq!((found.points.len(), found.end), (30, SweepEnd::Complete));
    for (at, point) in found.points.iter().enumerate() {
        let expected = 1e-4 * 1000f64.powf(at as f64 / 30.0);
        assert!((point.learning_rate / expected - 1.0).abs() < 1e-12, "{at} {point:?}");
    }
    let [first, second, ..] = found.points[..] else { panic!("two points") };
    assert!((first.smoothed_loss - first.loss).abs() < 1e-12, "{first:?}");
    let weighted = (0.98 * first.loss + second.loss) / 1.98;
    assert!((second.smoothed_loss - weighted).abs() < 1e-12, "{second:?}");
    assert!(found.points[29].smoothed_loss < first.smoothed_loss, "it learns");
    assert!(found.suggestions().valley.is_some());
}

#[test]
fn the_model_stays_as_it_is() {
    let (before, model) = (values(&SMALL.model()), SMALL.model());
    let finder = LrFinder { num_it: 20, ..LrFinder::default() };
    finder.run(&options(), &recipe(), &model, &SMALL.data(16), &mut NoCallback).unwrap();
    assert_eq!(values(&model), before);
}

#[test]
fn a_loss_of_four_times_the_best_ends_the_sweep() {
    let wild =
        LrFinder { start_lr: 1e-2, end_lr: 1e4, num_it: 60, stage: 2, ..LrFinder::default() };
    // No rule that a large weight could have learned for good.
    let ids = (0..512u32).map(|at| (at * at * 7 + at / 3) % 40).collect();
    let data = Dataset::new("training", blocks(&[ids], None, 8), &SMALL.config()).unwrap();
    let sweep = |finder: LrFinder| {
        finder.run(&options(), &recipe(), &SMALL.model(), &data, &mut NoCallback).unwrap()
    };
    let found = sweep(wild);
    assert_eq!(found.end, SweepEnd::Diverged, "{:?}", found.points.last());
    let (last, before) = found.points.split_last().unwrap();
    let best = before.iter().map(|point| point.smoothed_loss).fold(f64::MAX, f64::min);
    assert!(last.smoothed_loss > 4.0 * best, "{last:?} {best}");
    assert!(before.iter().all(|point| point.smoothed_loss <= 4.0 * best), "not before");
    // It would have gone on.
    let further = sweep(LrFinder { stop_div: false, ..wild });
    assert!(further.points.len() > found.points.len());
}

#[test]
fn a_loss_that_is_no_number_ends_the_sweep_and_is_no_error() {
    let far = LrFinder { start_lr: 1.0, end_lr: 1e300, num_it: 40, stop_div: false, stage: 2 };
    let found = sweep(far);
    assert_eq!(found.end, SweepEnd::NonFinite);
    assert!(found.points.len() < 40 && found.points.iter().all(|point| point.loss.is_finite()));
}

#[test]
fn the_frozen_groups_are_those_of_the_stage() {
    let moved = |stage| {
        let mut last = Vec::new();
        let finder = LrFinder { start_lr: 1e-3, num_it: 8, stage, ..LrFinder::default() };
        let mut watch = |event: &Event, model: &Gpt2| {
            if let Event::Step(_) = event {
                last = values(model);
            }
            Ok(Control::Continue)
        };
        finder.run(&options(), &recipe(), &SMALL.model(), &SMALL.data(16), &mut watch).unwrap();
        let parameters = SMALL.model().parameters();
        let pairs = parameters.iter().zip(values(&SMALL.model())).zip(last);
        let moved = pairs.filter(|((_, before), after)| before != after);
        moved.map(|((parameter, _), _)| parameter.name.clone()).collect::<Vec<_>>()
    };
    assert!(!moved(1).iter().any(|name| name == "h.0.mlp.c_fc.weight"));
    assert!(moved(1).iter().any(|name| name == "wte.weight"));
    assert!(moved(2).iter().any(|name| name == "h.0.mlp.c_fc.weight"));
}

#[test]
fn a_callback_can_stop_it() {
    let mut third = |event: &Event, _: &Gpt2| {
        let stop = matches!(event, Event::Step(record) if record.step == 3);
        Ok(if stop { Control::Stop } else { Control::Continue })
    };
    let found =
        LrFinder::default().run(&options(), &recipe(), &SMALL.model(), &SMALL.data(16), &mut third);
    let found = found.unwrap();
    assert_eq!((found.points.len(), found.end), (3, SweepEnd::Stopped));
}

#[test]
fn every_bad_number_is_named() {
    let good = LrFinder::default;
    for (finder, part) in [
        (LrFinder { start_lr: 0.0, ..good() }, "`start_lr` is 0"),
        (LrFinder { start_lr: f64::NAN, ..good() }, "`start_lr` is NaN"),
        (LrFinder { end_lr: 1e-8, ..good() }, "`end_lr` is 0.00000001, expected a number above"),
        (LrFinder { num_it: 5, ..good() }, "`num_it` is 5, expected at least 6"),
        (LrFinder { stage: 0, ..good() }, "`stage` is 0, expected a stage from 1 to 2"),
        (LrFinder { stage: 3, ..good() }, "`stage` is 3"),
    ] {
        let result =
            finder.run(&options(), &recipe(), &SMALL.model(), &SMALL.data(16), &mut NoCallback);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
