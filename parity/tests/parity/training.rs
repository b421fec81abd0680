//! Rung four: loss curves and the weights behind them.

use burn::tensor::Device;
use gpt2_core::Gpt2;
use gpt2_train::record::StepRecord;
use gpt2_train::{Control, Dataset, Event, Example, Outcome, Recipe, Trainer, TrainingConfig};
use serde_json::Value;

use crate::compare::{assert_close, assert_near};
use crate::json::{count, items, number};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::tensors::Arrays;
use crate::tolerance::{FINAL_WEIGHT, GRADIENT_NORM, LEARNING_RATE, TRAINING_LOSS};

/// The options that `trainer_hyper` of training.json describes.
pub fn options(hyper: &Value) -> TrainingConfig {
    TrainingConfig {
        max_steps: Some(count(hyper, "steps")),
        per_device_batch_size: count(hyper, "batch_size"),
        gradient_accumulation_steps: count(hyper, "accumulation"),
        learning_rate: number(hyper, "lr"),
        warmup_steps: count(hyper, "warmup"),
        weight_decay: number(hyper, "weight_decay"),
        max_grad_norm: number(hyper, "max_grad_norm"),
        dropout: Some(0.0),
        shuffle: false,
        ..TrainingConfig::default()
    }
}

/// Trains bbpe on sequences in their order, and keeps what is said of every step.
pub fn run_recipe(
    root: &Root,
    config: TrainingConfig,
    recipe: Recipe,
    examples: Vec<Example>,
    device: &Device,
) -> (Outcome, Vec<StepRecord>) {
    train(load(&root.model("bbpe"), device), config, recipe, examples)
}

/// Trains a model on sequences in their order, and keeps what is said of every step.
pub fn train(
    model: Gpt2,
    config: TrainingConfig,
    recipe: Recipe,
    examples: Vec<Example>,
) -> (Outcome, Vec<StepRecord>) {
    let train = Dataset::new("training", examples, model.config()).expect("good rows");
    let mut steps = Vec::new();
    let outcome = Trainer::with_recipe(config, recipe)
        .expect("good options")
        .run(model, &train, None, &mut |event: &Event, _: &Gpt2| {
            if let Event::Step(record) = event {
                steps.push(*record);
            }
            Ok(Control::Continue)
        })
        .expect("a run that ends");
    (outcome, steps)
}

/// Runs a curve of the Trainer; `labels` is the array of labels, `None` for the ids themselves.
fn run(root: &Root, labels: Option<&str>, device: &Device) -> (Outcome, Vec<StepRecord>) {
    run_changed(root, labels, device, |_| {})
}

/// As [`run`], with something of the options changed.
pub fn run_changed(
    root: &Root,
    labels: Option<&str>,
    device: &Device,
    change: impl FnOnce(&mut TrainingConfig),
) -> (Outcome, Vec<StepRecord>) {
    let arrays = Arrays::open(root.expected("training.safetensors"));
    let labels = labels.map(|name| arrays.rows(name));
    let examples = arrays
        .ids("trainer.input_ids")
        .into_iter()
        .enumerate()
        .map(|(row, input_ids)| Example {
            input_ids,
            labels: labels.as_ref().map(|labels| labels[row].clone()),
        })
        .collect();
    let mut config = options(&root.json("training.json")["trainer_hyper"]);
    change(&mut config);
    let recipe = Recipe::from(&config);
    run_recipe(root, config, recipe, examples, device)
}

/// A list of numbers, by its key.
pub fn numbers(curve: &Value, key: &str) -> Vec<f64> {
    items(&curve[key]).iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// Compares the loss of every step with the curve's, in both precisions.
pub fn check_losses(context: &str, steps: &[StepRecord], curve: &Value) {
    let (losses, doubles) = (numbers(curve, "loss"), numbers(curve, "loss_f64"));
    assert_eq!(steps.len(), losses.len(), "{context}");
    for (at, step) in steps.iter().enumerate() {
        let context = format!("{context} step {at}");
        assert_near(&context, step.loss, losses[at], TRAINING_LOSS);
        assert_near(&context, step.loss, doubles[at], TRAINING_LOSS);
    }
}

pub fn check_curve(context: &str, steps: &[StepRecord], curve: &Value) {
    check_losses(context, steps, curve);
    let (rates, norms) = (numbers(curve, "lr"), numbers(curve, "grad_norm"));
    for (at, step) in steps.iter().enumerate() {
        let context = format!("{context} step {at}");
        assert_near(&context, step.learning_rate, rates[at], LEARNING_RATE);
        assert_near(&context, step.grad_norm, norms[at], GRADIENT_NORM);
    }
}

#[test]
fn the_training_curve_and_the_weights_after_it_equal_the_trainer() {
    for root in roots() {
        let curves = &root.json("training.json")["curves"];
        let arrays = Arrays::open(root.expected("training.safetensors"));
        for (backend, device) in devices() {
            let context = format!("{} trainer {backend}", root.name);
            let (outcome, steps) = run(root, None, &device);
            check_curve(&context, &steps, &curves["trainer"]);
            for parameter in outcome.model.parameters() {
                let name = parameter.published_name();
                let expected = arrays.floats(&format!("final.trainer.{name}"));
                let third = expected.values.len() / 3;
                let is_key = |at: usize| name.ends_with("c_attn.bias") && at / third == 1;
                let found = parameter.to_vec().expect("a device that works");
                assert_close(&context, &found, &expected, FINAL_WEIGHT, |at| !is_key(at[0]));
            }
        }
    }
}

#[test]
fn a_curve_with_ignored_labels_is_weighted_by_scored_tokens() {
    for root in roots() {
        let curves = &root.json("training.json")["curves"];
        for (backend, device) in devices() {
            let context = format!("{} trainer_ignored_scored {backend}", root.name);
            let (_, steps) = run(root, Some("trainer.labels_ignored"), &device);
            check_curve(&context, &steps, &curves["trainer_ignored_scored"]);
        }
    }
}
