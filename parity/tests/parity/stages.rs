//! Rung four, with the arithmetic of Keras and of fastai.

use burn::tensor::Device;
use gpt2_train::optim::{AdamForm, ClipMode};
use gpt2_train::record::StepRecord;
use gpt2_train::{
    Example, LayerGroups, OneCycle, Outcome, Recipe, Schedule, Stage, StageLength, TrainingConfig,
};
use serde_json::Value;

use crate::compare::{assert_close, assert_near, everywhere};
use crate::json::{count, items, number};
use crate::models::devices;
use crate::root::{Root, roots};
use crate::tensors::Arrays;
use crate::tolerance::{FINAL_WEIGHT, LEARNING_RATE, MOMENTUM};
use crate::training::{check_losses, numbers, run_recipe};

/// `keras` and `keras_tfdlg`: options and recipe that `keras_hyper` describes.
fn keras(
    hyper: &Value,
    schedule: Schedule,
    ignored_token_id: Option<u32>,
) -> (TrainingConfig, Recipe) {
    let config = TrainingConfig {
        per_device_batch_size: count(hyper, "batch_size"),
        max_grad_norm: number(hyper, "clipnorm"),
        clip: ClipMode::PerTensor,
        dropout: Some(0.0),
        shuffle: false,
        ..TrainingConfig::default()
    };
    let stage = Stage {
        length: StageLength::Steps(count(hyper, "steps")),
        frozen_groups: 0,
        learning_rate: number(hyper, "lr"),
        lowest_learning_rate: None,
        schedule,
    };
    let adam = AdamForm::Keras;
    (config, Recipe { adam, ignored_token_id, stages: vec![stage], ..Recipe::default() })
}

fn check_keras(root: &Root, curve: &str, schedule: Schedule, ignored_token_id: Option<u32>) {
    let training = root.json("training.json");
    let (config, recipe) = keras(&training["keras_hyper"], schedule, ignored_token_id);
    let curve_of = &training["curves"][curve];
    let (rates, clipped) = (numbers(curve_of, "lr"), numbers(curve_of, "clipped_tensors"));
    let rows = Arrays::open(root.expected("training.safetensors")).ids("keras.input_ids");
    for (backend, device) in devices() {
        let context = format!("{} {curve} {backend}", root.name);
        let examples = rows.iter().cloned().map(Example::new).collect();
        let (_, steps) = run_recipe(root, config.clone(), recipe.clone(), examples, &device);
        check_losses(&context, &steps, curve_of);
        for (at, step) in steps.iter().enumerate() {
            let context = format!("{context} step {at}");
            assert_near(&context, step.learning_rate, rates[at], LEARNING_RATE);
            assert_eq!(step.clipped_tensors as f64, clipped[at], "{context}");
        }
    }
}

#[test]
fn a_keras_curve_clips_by_tensor_and_adds_epsilon_before_the_correction() {
    for root in roots() {
        check_keras(root, "keras", Schedule::Linear { warmup_steps: 0 }, None);
    }
}

#[test]
fn a_tfdlg_curve_starts_from_zero_and_leaves_out_the_padding() {
    for root in roots() {
        let schedule = Schedule::LinearFromZero { warmup_steps: 0 };
        check_keras(root, "keras_tfdlg", schedule, Some(0));
    }
}

/// The groups that `fastai_groups` maps prefixes of published names to.
fn groups(training: &Value) -> LayerGroups {
    let prefixes = training["fastai_groups"].as_object().expect("a map of prefixes");
    let mut groups: Vec<Vec<String>> = Vec::new();
    for (prefix, group) in prefixes {
        let group = group.as_u64().expect("a group") as usize;
        groups.resize(groups.len().max(group + 1), Vec::new());
        let module = prefix.trim_start_matches("transformer.").trim_end_matches('.');
        groups[group].push(module.to_string());
    }
    LayerGroups::Modules(groups)
}

/// The options and the stages that `fastai_hyper` describes.
pub fn fastai(training: &Value) -> (TrainingConfig, Recipe) {
    let hyper = &training["fastai_hyper"];
    let moms: Vec<f64> = numbers(hyper, "moms");
    let cycle = OneCycle {
        pct_start: number(hyper, "pct_start"),
        div: number(hyper, "div"),
        div_final: number(hyper, "div_final"),
        moms: moms.try_into().expect("three momenta"),
    };
    let config = TrainingConfig {
        per_device_batch_size: count(hyper, "batch_size"),
        adam_beta2: number(hyper, "sqr_mom"),
        adam_epsilon: number(hyper, "eps"),
        weight_decay: number(hyper, "wd"),
        max_grad_norm: 0.0,
        dropout: Some(0.0),
        shuffle: false,
        ..TrainingConfig::default()
    };
    let groups = groups(training);
    let stage = |phase: &Value| {
        let freeze_to = phase[0].as_i64().expect("freeze_to");
        Stage {
            length: StageLength::Steps(phase[3].as_u64().expect("steps") as usize),
            // A negative number counts from the end, as in Python.
            frozen_groups: freeze_to.rem_euclid(groups.count() as i64) as usize,
            learning_rate: phase[2].as_f64().expect("a rate"),
            lowest_learning_rate: phase[1].as_f64(),
            schedule: Schedule::OneCycle(cycle),
        }
    };
    let stages = items(&hyper["phases"]).iter().map(stage).collect();
    (config, Recipe { groups, stages, ..Recipe::default() })
}

fn run_fastai(root: &Root, training: &Value, device: &Device) -> (Outcome, Vec<StepRecord>) {
    let (config, recipe) = fastai(training);
    let windows = Arrays::open(root.expected("training.safetensors")).ids("fastai.windows");
    let examples = windows.into_iter().map(Example::new).collect();
    run_recipe(root, config, recipe, examples, device)
}

#[test]
fn a_fastai_curve_unfreezes_group_by_group_in_one_cycles() {
    for root in roots() {
        let training = root.json("training.json");
        let curve = &training["curves"]["fastai"];
        let momenta = numbers(curve, "mom");
        let arrays = Arrays::open(root.expected("training.safetensors"));
        for (backend, device) in devices() {
            let context = format!("{} fastai {backend}", root.name);
            let (outcome, steps) = run_fastai(root, &training, &device);
            check_losses(&context, &steps, curve);
            for (at, step) in steps.iter().enumerate() {
                let context = format!("{context} step {at}");
                let rates = items(&curve["lr"][at]);
                let rate = |group: usize| rates[group].as_f64().expect("a rate");
                assert_near(&context, step.lowest_learning_rate, rate(0), LEARNING_RATE);
                assert_near(&context, step.learning_rate, rate(rates.len() - 1), LEARNING_RATE);
                assert_near(&context, step.adam_beta1, momenta[at], MOMENTUM);
            }
            for parameter in outcome.model.parameters() {
                let name = parameter.published_name();
                let expected = arrays.floats(&format!("final.fastai.{name}"));
                let found = parameter.to_vec().expect("a device that works");
                // The key third of c_attn.bias too: epsilon is larger than its noise.
                assert_close(&context, &found, &expected, FINAL_WEIGHT, everywhere);
            }
        }
    }
}

#[test]
fn rates_of_all_groups_are_those_of_fastai() {
    for root in roots() {
        let training = root.json("training.json");
        let (_, recipe) = fastai(&training);
        let curve = &training["curves"]["fastai"];
        let (mut stage, mut first) = (0, 0);
        for (at, rates) in items(&curve["lr"]).iter().enumerate() {
            let phase = numbers(curve, "phase")[at] as usize;
            if phase != stage {
                (stage, first) = (phase, at);
            }
            let planned = &recipe.stages[stage];
            let factor = planned.schedule.factor(at - first, planned.length.steps(1));
            let highest = planned.learning_rates(recipe.groups.count());
            assert_eq!(highest.len(), items(rates).len());
            for (top, expected) in highest.iter().zip(items(rates)) {
                let expected = expected.as_f64().expect("a rate");
                let context = format!("{} fastai step {at}", root.name);
                assert_near(&context, top * factor, expected, LEARNING_RATE);
            }
        }
    }
}
