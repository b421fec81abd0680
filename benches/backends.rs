//! Forward pass, training step and decoding on every backend that is compiled in, and the choice of a
//! token, which none of them does.
//!
//! `cargo bench -p gpt2-benches`; tokens per second are criterion's elements per second. Every
//! measurement ends with the device's own end: results are read back or the queue is waited for.

mod choice;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gpt2_benches::{config, devices, ids, model};
use gpt2_core::bench::Shape;
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, KvCache};
use gpt2_infer::{GenerationConfig, generate};
use gpt2_train::TrainingConfig;
use gpt2_train::bench::step_seconds;

/// Sequences and tokens of a batch.
const SHAPES: [(usize, usize); 2] = [(1, 256), (4, 256)];
/// Tokens of the prompt, and tokens that are generated after it.
const DECODE: (usize, usize) = (16, 64);

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    for (batch, seq) in SHAPES {
        group.throughput(Throughput::Elements((batch * seq) as u64));
        for (name, device) in devices() {
            let model = model(&device);
            let rows = vec![ids(seq); batch];
            let input = Gpt2Batch::new(&rows, model.config(), &device).expect("the ids are valid");
            group.bench_function(BenchmarkId::new(name, format!("{batch}x{seq}")), |bencher| {
                bencher.iter(|| {
                    let logits = model.forward(&input);
                    device.sync().expect("the device works");
                    logits
                });
            });
        }
    }
    group.finish();
}

fn train_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train step");
    for (batch, seq) in SHAPES {
        group.throughput(Throughput::Elements((batch * seq) as u64));
        for (name, device) in devices() {
            let model = model(&device);
            group.bench_function(BenchmarkId::new(name, format!("{batch}x{seq}")), |bencher| {
                bencher.iter_custom(|steps| {
                    let (shape, options) = (Shape { batch, seq }, TrainingConfig::default());
                    let seconds = step_seconds(model.clone(), shape, steps as usize, &options);
                    Duration::from_secs_f64(seconds.expect("the run ends").iter().sum())
                });
            });
        }
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let (prompt, new) = DECODE;
    for batch in [1, 8] {
        group.throughput(Throughput::Elements((batch * new) as u64));
        for (name, device) in devices() {
            let model = model(&device);
            let prompts = vec![ids(prompt); batch];
            let options =
                GenerationConfig { max_new_tokens: Some(new), ..GenerationConfig::default() };
            group.bench_function(BenchmarkId::new(name, format!("batch {batch}")), |bencher| {
                bencher
                    .iter(|| generate(&model, &prompts, &options).expect("the options are valid"));
            });
        }
    }
    group.finish();
}

/// Length of the text that a decoding step goes on from.
const TEXT: usize = 64;

/// One step of GPT-2 small, whatever the other benchmarks run: its weights do not fit a cache, so
/// the speed of memory decides.
fn decode_step(criterion: &mut Criterion) {
    // A first run to see that it works must not take minutes on the slower backends.
    let testing = std::env::args().any(|arg| arg == "--test");
    let config = if testing { config() } else { Gpt2Config::gpt2() };
    let mut group = criterion.benchmark_group("decode step, gpt2");
    for (name, device) in devices() {
        let model = Gpt2::init(&config, 1, &device).expect("the configuration is valid");
        for batch in [1, 8] {
            group.throughput(Throughput::Elements(batch as u64));
            let read = |rows: &[Vec<u32>], cache: &mut KvCache| {
                let input = Gpt2Batch::new(rows, &config, &device).expect("the ids are valid");
                let logits = model.head(model.hidden_cached(&input, cache));
                device.sync().expect("the device works");
                logits
            };
            let mut cache = KvCache::new(&config, batch, 2 * TEXT, &device).expect("room");
            let _ = read(&vec![ids(TEXT); batch], &mut cache);
            group.bench_function(BenchmarkId::new(&name, format!("batch {batch}")), |bencher| {
                bencher.iter(|| {
                    (0..batch).for_each(|row| cache.truncate(row, TEXT));
                    read(&vec![ids(1); batch], &mut cache)
                });
            });
        }
    }
    group.finish();
}

fn settings() -> Criterion {
    println!("model: {} parameters", config().parameter_count());
    Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1))
}

criterion_group!(
    name = benches;
    config = settings();
    targets = forward, train_step, decode, decode_step, choice::choice
);
criterion_main!(benches);
