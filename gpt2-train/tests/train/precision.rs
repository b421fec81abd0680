//! Less memory and fewer bits: what they may change, and what they may not.

use burn::module::Module;
use burn::tensor::Device;
use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::data::{Example, blocks};
use gpt2_train::record::{SkipReason, StepRecord};
use gpt2_train::{
    ComputeDType, Control, Dataset, Error, Event, LrScheduler, NoCallback, Trainer, TrainingConfig,
};

use super::support::{is_alone, rule};

fn config() -> Gpt2Config {
    Gpt2Config {
        vocab_size: 40,
        n_positions: 600,
        n_embd: 32,
        n_layer: 3,
        n_head: 4,
        ..Gpt2Config::gpt2()
    }
}

fn devices() -> Vec<Device> {
    device::test_devices().into_iter().map(|(_, device)| device).collect()
}

/// A text in which every id follows from the one before it, in sequences of `length`.
fn text(examples: usize, length: usize) -> Vec<Example> {
    blocks(&[rule(examples * length)], None, length)
}

fn options() -> TrainingConfig {
    TrainingConfig {
        learning_rate: 5e-3,
        per_device_batch_size: 4,
        gradient_accumulation_steps: 2,
        num_train_epochs: 2.0,
        weight_decay: 0.1,
        ..TrainingConfig::default()
    }
}

/// Records of all steps, and all weights after each.
struct Course {
    records: Vec<StepRecord>,
    weights: Vec<Vec<f32>>,
    skipped_steps: usize,
}

impl Course {
    fn losses(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.loss).collect()
    }

    fn grad_norms(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.grad_norm).collect()
    }

    fn skipped(&self) -> Vec<Option<SkipReason>> {
        self.records.iter().map(|record| record.skipped).collect()
    }
}

fn weights(model: &Gpt2) -> Vec<f32> {
    model.parameters().iter().flat_map(|parameter| parameter.to_vec().unwrap()).collect()
}

fn run_on(device: &Device, options: &TrainingConfig, examples: Vec<Example>) -> Course {
    let model = Gpt2::init(&config(), 1, device).unwrap();
    let train = Dataset::new("training", examples, &config()).unwrap();
    let mut course = Course { records: Vec::new(), weights: Vec::new(), skipped_steps: 0 };
    let outcome = Trainer::new(options.clone())
        .unwrap()
        .run(model, &train, None, &mut |event: &Event, model: &Gpt2| {
            if let Event::Step(record) = event {
                course.records.push(*record);
                course.weights.push(weights(model));
            }
            Ok(Control::Continue)
        })
        .unwrap();
    course.skipped_steps = outcome.skipped_steps;
    course
}

fn run(options: &TrainingConfig, examples: Vec<Example>) -> Course {
    run_on(&device::test_device(), options, examples)
}

/// The largest distance of two lists.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn checkpointed(options: TrainingConfig) -> TrainingConfig {
    TrainingConfig { gradient_checkpointing: true, ..options }
}

#[test]
fn checkpointing_changes_no_bit_of_a_run() {
    for device in devices() {
        for dropout in [0.0, 0.1] {
            let plain = TrainingConfig { dropout: Some(dropout), ..options() };
            let expected = run_on(&device, &plain, text(16, 16));
            let found = run_on(&device, &checkpointed(plain), text(16, 16));
            assert_eq!(expected.records.len(), 4);
            assert_eq!(expected.losses(), found.losses(), "{device:?} {dropout}");
            assert_eq!(expected.grad_norms(), found.grad_norms(), "{device:?} {dropout}");
            assert_eq!(expected.weights, found.weights, "{device:?} {dropout}");
        }
    }
}

#[test]
fn checkpointing_leaves_frozen_embeddings_alone() {
    let course = |options: &TrainingConfig| {
        let mut model = Gpt2::init(&config(), 1, &device::test_device()).unwrap();
        (model.wte, model.wpe) = (model.wte.no_grad(), model.wpe.no_grad());
        let before = model.wte.weight.val().to_data();
        let train = Dataset::new("training", text(16, 16), &config()).unwrap();
        let trainer = Trainer::new(options.clone()).unwrap();
        let trained = trainer.run(model, &train, None, &mut NoCallback).unwrap().model;
        assert_eq!(trained.wte.weight.val().to_data(), before);
        weights(&trained)
    };
    let plain = course(&options());
    assert!(plain == course(&checkpointed(options())));
    assert!(plain != weights(&Gpt2::init(&config(), 1, &device::test_device()).unwrap()));
}

/// Distance of losses, and of gradient norms relative to their size, when the head adds its gradient
/// up in parts: measured 5.1e-8 and 2.4e-8.
const HEAD_IN_PARTS: f64 = 1e-6;

#[test]
fn a_head_in_parts_gives_the_gradients_of_a_whole_one() {
    let short = TrainingConfig { dropout: Some(0.1), max_steps: Some(3), ..options() };
    // 599 predictions of one row: three parts, on a backend where all logits of a part exist.
    let ndarray = device::by_name("ndarray").unwrap();
    let expected = run_on(&ndarray, &short, text(1, 600));
    let found = run_on(&ndarray, &checkpointed(short), text(1, 600));
    let norms = expected.grad_norms();
    let norm = norms.iter().copied().fold(0.0, f64::max);
    assert!(distance(&norms, &found.grad_norms()) < HEAD_IN_PARTS * norm);
    assert!(distance(&expected.losses(), &found.losses()) < HEAD_IN_PARTS);
}

#[test]
fn a_fused_head_changes_no_bit_however_many_its_predictions() {
    let short = TrainingConfig { dropout: Some(0.1), max_steps: Some(2), ..options() };
    let flex = device::by_name("flex").unwrap();
    let expected = run_on(&flex, &short, text(1, 600));
    let found = run_on(&flex, &checkpointed(short), text(1, 600));
    assert_eq!(expected.losses(), found.losses());
    assert_eq!(expected.weights, found.weights);
}

#[test]
fn no_bit_of_a_run_depends_on_the_number_of_threads() {
    let short = TrainingConfig { dropout: Some(0.1), max_steps: Some(2), ..options() };
    let course = |threads: usize, examples: Vec<Example>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run_on(&device::by_name("flex").unwrap(), &short, examples))
    };
    for (rows, length) in [(16, 16), (2, 600)] {
        let alone = course(1, text(rows, length));
        for threads in [2, 3] {
            let shared = course(threads, text(rows, length));
            assert_eq!(alone.losses(), shared.losses(), "{threads}");
            assert_eq!(alone.grad_norms(), shared.grad_norms(), "{threads}");
            assert!(alone.weights == shared.weights, "{threads}");
        }
    }
}

/// Most bytes at a time of one step on one row.
fn peak(options: &TrainingConfig) -> u64 {
    let deep = Gpt2Config { n_layer: 12, vocab_size: 400, ..config() };
    let model = Gpt2::init(&deep, 1, &device::test_device()).unwrap();
    let train = Dataset::new("training", text(1, 600), &deep).unwrap();
    let trainer = Trainer::new(TrainingConfig { max_steps: Some(1), ..options.clone() }).unwrap();
    // The counter is the thread's: on a pool of one thread nothing escapes it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let step = || trainer.run(model, &train, None, &mut NoCallback).unwrap();
    pool.install(|| allocation_counter::measure(|| drop(step())).bytes_max)
}

#[test]
fn checkpointing_and_half_the_bits_lower_the_peak_of_memory() {
    // The memory of ordinary operations is all the allocator's.
    let test = "precision::checkpointing_and_half_the_bits_lower_the_peak_of_memory";
    if !is_alone(test, &[("GPT2_OPS", "plain")]) {
        return;
    }
    let whole = peak(&options());
    let half = peak(&TrainingConfig { dtype: ComputeDType::Bf16, ..options() });
    let few = peak(&checkpointed(options()));
    // Twelve blocks, of which one and the inputs of all remain: measured 318 MB, 273 MB and 41 MB.
    assert!(few < whole / 5, "{few} of {whole}");
    assert!(half < whole * 9 / 10, "{half} of {whole}");
}

/// Largest distance of a step's loss from that of f32, in nats, over 40 steps: measured 0.0037 and
/// 0.00098.
const LOSS_OF: [(ComputeDType, f64); 2] = [(ComputeDType::Bf16, 0.02), (ComputeDType::F16, 0.005)];

#[test]
fn half_the_bits_learn_the_same_and_master_weights_stay_f32() {
    let long = TrainingConfig { dropout: Some(0.0), num_train_epochs: 20.0, ..options() };
    let expected = run(&long, text(16, 16));
    for (dtype, most) in LOSS_OF {
        let found = run(&TrainingConfig { dtype, ..long.clone() }, text(16, 16));
        let apart = distance(&expected.losses(), &found.losses());
        assert!(apart > 0.0 && apart < most, "{dtype:?}: {apart}");
        assert_eq!(found.skipped_steps, 0);
        // Few f32 numbers happen to be of the smaller type.
        let is_coarse = |value: &&f32| match dtype {
            ComputeDType::F16 => half::f16::from_f32(**value).to_f32() == **value,
            _ => half::bf16::from_f32(**value).to_f32() == **value,
        };
        let weights = found.weights.last().unwrap();
        let coarse = weights.iter().filter(is_coarse).count();
        assert!(coarse < weights.len() / 10, "{coarse} of {}", weights.len());
    }
}

#[test]
fn checkpointing_changes_no_bit_in_half_precision_either() {
    for dtype in [ComputeDType::Bf16, ComputeDType::F16] {
        let plain = TrainingConfig { dtype, ..options() };
        let expected = run(&plain, text(16, 16));
        let found = run(&checkpointed(plain), text(16, 16));
        assert_eq!(expected.losses(), found.losses(), "{dtype:?}");
        assert_eq!(expected.weights, found.weights, "{dtype:?}");
    }
}

#[test]
fn a_device_refuses_what_it_cannot_compute_in() {
    let Ok(device) = device::by_name("ndarray") else { return };
    let model = Gpt2::init(&config(), 1, &device).unwrap();
    let train = Dataset::new("training", text(1, 16), &config()).unwrap();
    let trainer = Trainer::new(TrainingConfig { dtype: ComputeDType::Bf16, ..options() }).unwrap();
    let error = trainer.run(model, &train, None, &mut NoCallback).unwrap_err().to_string();
    assert_eq!(error, "`dtype` is bf16, expected a type that `ndarray` computes in: f32");
}

#[test]
fn an_overflow_of_f16_is_skipped_and_halves_the_scale() {
    // One prediction: its gradient times 65,536 is more than f16 holds.
    let f16 = TrainingConfig {
        dtype: ComputeDType::F16,
        dropout: Some(0.0),
        max_steps: Some(12),
        ..options()
    };
    let course = run(&f16, vec![Example::new(vec![3, 5])]);
    let skipped = course.skipped();
    let count = skipped.iter().take_while(|reason| **reason == Some(SkipReason::Overflow)).count();
    assert!((1..6).contains(&count), "{skipped:?}");
    assert!(skipped[count..].iter().all(Option::is_none), "{skipped:?}");
    assert_eq!(course.skipped_steps, count);
    let start = weights(&Gpt2::init(&config(), 1, &device::test_device()).unwrap());
    for step in 0..count {
        assert!(!course.records[step].grad_norm.is_finite());
        assert!(course.weights[step] == start, "step {step} moved a weight");
    }
    assert!(course.losses()[11] < course.losses()[0] - 0.1, "{:?}", course.losses());
}

#[test]
fn an_outlying_step_is_as_if_it_had_not_been() {
    let guarded = TrainingConfig {
        dropout: Some(0.0),
        shuffle: false,
        lr_scheduler: LrScheduler::Constant,
        learning_rate: 1e-4,
        per_device_batch_size: 1,
        gradient_accumulation_steps: 1,
        num_train_epochs: 1.0,
        skip_z_score: Some(6.0),
        ..options()
    };
    // The gradients of one token over and over add up.
    let odd = Example::new(vec![9; 16]);
    let mut with = text(72, 16);
    with.insert(70, odd);
    let (with, without) = (run(&guarded, with), run(&guarded, text(72, 16)));
    let skipped: Vec<usize> =
        (0..73).filter(|&step| with.skipped()[step] == Some(SkipReason::Outlier)).collect();
    assert_eq!((skipped, without.skipped_steps), (vec![70], 0));
    assert!(with.weights.last() == without.weights.last());
    let line = serde_json::to_value(with.records[70]).unwrap();
    assert_eq!((&line["skipped"], &line["step"]), (&"outlier".into(), &71.into()));
    assert!(serde_json::to_value(with.records[69]).unwrap().get("skipped").is_none());
}

#[test]
fn what_stays_no_number_ends_a_guarded_run_too() {
    let wild = TrainingConfig {
        learning_rate: 1e30,
        max_grad_norm: 0.0,
        num_train_epochs: 30.0,
        ..options()
    };
    let fails_at = |options: &TrainingConfig| {
        let model = Gpt2::init(&config(), 1, &device::test_device()).unwrap();
        let train = Dataset::new("training", text(16, 16), &config()).unwrap();
        let trainer = Trainer::new(options.clone()).unwrap();
        let error = trainer.run(model, &train, None, &mut NoCallback).unwrap_err();
        let Error::NonFinite { step, .. } = error else { panic!("{error}") };
        step
    };
    let first = fails_at(&wild);
    // Ten chances to be one again.
    assert_eq!(fails_at(&TrainingConfig { skip_z_score: Some(6.0), ..wild.clone() }), first + 10);
    // A scale of 65,536 halves sixteen times.
    let f16 = TrainingConfig { dtype: ComputeDType::F16, ..wild };
    assert_eq!(fails_at(&f16), first + 16);
}
