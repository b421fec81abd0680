//! The learning-rate finder against fastai's.

use gpt2_train::lr_finder::{LrPoint, LrSuggestions, Suggestion, SweepEnd};
use gpt2_train::{Dataset, Example, LrFinder, LrSweep, NoCallback, Recipe, Stage};
use serde_json::Value;

use crate::compare::assert_near;
use crate::json::{count, items, number};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::stages::fastai;
use crate::tolerance::{LEARNING_RATE, SMOOTHED_LOSS, SUGGESTION};
use crate::training::numbers;

/// A sweep with a fixture's numbers; losses are smoothed already.
fn recorded(curve: &Value, num_it: usize) -> LrSweep {
    let (rates, losses) = (numbers(curve, "lr"), numbers(curve, "smoothed_loss"));
    let point = |(learning_rate, smoothed_loss)| LrPoint {
        learning_rate,
        loss: smoothed_loss,
        smoothed_loss,
    };
    let points = rates.into_iter().zip(losses).map(point).collect();
    LrSweep { points, num_it, end: SweepEnd::Complete }
}

fn check_suggestions(context: &str, found: LrSuggestions, expected: &Value) {
    let LrSuggestions { valley, minimum, steep, slide } = found;
    for (name, suggestion) in
        [("valley", valley), ("minimum", minimum), ("steep", steep), ("slide", slide)]
    {
        let Some(Suggestion { learning_rate, .. }) = suggestion else {
            panic!("{context}: no {name}");
        };
        let expected = number(expected, name);
        assert_near(&format!("{context} {name}"), learning_rate, expected, SUGGESTION);
    }
}

#[test]
fn suggestions_are_those_of_fastai() {
    for (root, fixture) in fixtures() {
        for curve in items(&fixture["curves"]) {
            let context = format!("{} {}", root.name, curve["name"]);
            let sweep = recorded(curve, count(curve, "num_it"));
            check_suggestions(&context, sweep.suggestions(), &curve["suggestions"]);
        }
    }
}

#[test]
fn a_sweep_is_that_of_fastai() {
    for (root, fixture) in fixtures() {
        let hyper = &fixture["hyper"];
        let (config, recipe) = fastai(&fixture);
        let finder = LrFinder {
            start_lr: number(hyper, "start_lr"),
            end_lr: number(hyper, "end_lr"),
            num_it: count(hyper, "num_it"),
            ..LrFinder::default()
        };
        let rows: Vec<Vec<u32>> = items(&fixture["input_ids"]).iter().map(ids).collect();
        for (name, expected) in fixture["sweeps"].as_object().expect("sweeps") {
            let freeze_to = expected["freeze_to"].as_i64().expect("freeze_to");
            let groups = recipe.groups.count() as i64;
            let frozen_groups = freeze_to.rem_euclid(groups) as usize;
            let stages = vec![Stage { frozen_groups, ..recipe.stages[0] }];
            let recipe = Recipe { stages, ..recipe.clone() };
            for (backend, device) in devices() {
                let context = format!("{} {name} {backend}", root.name);
                let model = load(&root.model("bbpe"), &device);
                let examples = rows.iter().cloned().map(Example::new).collect();
                let train = Dataset::new("training", examples, model.config()).expect("good rows");
                let sweep = finder
                    .run(&config, &recipe, &model, &train, &mut NoCallback)
                    .expect("a sweep that ends");
                check_sweep(&context, &sweep, expected);
            }
        }
    }
}

fn ids(row: &Value) -> Vec<u32> {
    items(row).iter().filter_map(Value::as_u64).map(|id| id as u32).collect()
}

fn check_sweep(context: &str, sweep: &LrSweep, expected: &Value) {
    let (rates, losses) = (numbers(expected, "lr"), numbers(expected, "smoothed_loss"));
    assert_eq!((sweep.points.len(), sweep.end), (rates.len(), SweepEnd::Complete), "{context}");
    for (at, point) in sweep.points.iter().enumerate() {
        let context = format!("{context} step {at}");
        assert_near(&context, point.learning_rate, rates[at], LEARNING_RATE);
        assert_near(&context, point.smoothed_loss, losses[at], SMOOTHED_LOSS);
    }
    check_suggestions(context, sweep.suggestions(), &expected["suggestions"]);
}

/// The fixtures, where a root has them.
fn fixtures() -> impl Iterator<Item = (&'static Root, Value)> {
    assert!(roots()[0].has("lr_find.json"), "the own fixtures are not complete");
    let having = roots().iter().filter(|root| root.has("lr_find.json"));
    having.map(|root| (root, root.json("lr_find.json")))
}
