//! What a decoding step does beside the model: processors and the choice of a token.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion};
use gpt2_benches::ids;
use gpt2_infer::GenerationConfig;
use gpt2_infer::logits::LogitsProcessors;
use gpt2_infer::sample::Sampler;

/// Scores of a position of GPT-2.
const VOCAB: usize = 50_257;
/// Tokens of the text so far.
const TEXT: usize = 900;

/// Time of one row and one token, of GPT-2's vocabulary whatever the other benchmarks run.
pub fn choice(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choice of a token");
    for (name, config) in chains() {
        let scores: Vec<f32> = (0..VOCAB).map(score).collect();
        let text: Vec<u32> = ids(TEXT).into_iter().map(|id| id % VOCAB as u32).collect();
        let mut processors = LogitsProcessors::from_config(&config, TEXT / 2, TEXT * 2)
            .expect("the options are valid");
        let mut sampler = match config.do_sample {
            true => Sampler::multinomial(1, 1),
            false => Sampler::greedy(),
        };
        group.bench_function(BenchmarkId::new("one row", name), |bencher| {
            bencher.iter_custom(|times| {
                let mut own = vec![scores.clone(); times as usize];
                let start = Instant::now();
                for scores in &mut own {
                    processors.process(&text, scores);
                    black_box(sampler.choose(scores));
                }
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// What the published cards ask for, from the cheapest on.
fn chains() -> [(&'static str, GenerationConfig); 4] {
    let default = GenerationConfig::default;
    let sampled = || GenerationConfig { do_sample: true, ..default() };
    [
        ("greedy", default()),
        ("top_k 50", sampled()),
        ("top_k 50, top_p 0.95", GenerationConfig { top_p: 0.95, ..sampled() }),
        (
            "top_k 50, top_p 0.95, temperature, repetition, n-grams",
            GenerationConfig {
                top_p: 0.95,
                temperature: 0.7,
                repetition_penalty: 1.2,
                no_repeat_ngram_size: 2,
                ..sampled()
            },
        ),
    ]
}

/// Something like the score of a token: a few are likely, most are not.
fn score(id: usize) -> f32 {
    let hash = (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let uniform = (hash as f32 + 0.5) / (1u64 << 24) as f32;
    -2.0 * uniform.ln() - 10.0
}
