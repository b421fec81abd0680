//! A small model with random weights, large enough that its continuations differ.

use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_infer::{GenerationConfig, generate};
use serde_json::{Map, Value};

pub const VOCAB: usize = 101;
pub const POSITIONS: usize = 32;

pub fn model_config() -> Gpt2Config {
    Gpt2Config {
        vocab_size: VOCAB,
        n_positions: POSITIONS,
        n_embd: 24,
        n_layer: 2,
        n_head: 3,
        initializer_range: 0.2,
        bos_token_id: Some(1),
        eos_token_id: vec![0],
        ..Gpt2Config::gpt2()
    }
}

pub fn model() -> Gpt2 {
    Gpt2::init(&model_config(), 3, &device::test_device()).unwrap()
}

/// A tokenizer whose tokens end in the middle of characters, and a model for it.
pub fn text_model() -> (Tokenizer, Gpt2) {
    let text = "satu dua tiga, satu dua tiga: naïve 日本語 🙂 satu dua".to_string();
    let options = TrainBpeOptions { vocab_size: 280, ..TrainBpeOptions::default() };
    let tokenizer = Tokenizer::train_bpe(std::iter::once(text), &options).unwrap();
    let config = Gpt2Config { vocab_size: tokenizer.vocab_size(), ..model_config() };
    (tokenizer, Gpt2::init(&config, 5, &device::test_device()).unwrap())
}

/// Greedy, `new` tokens long, without an end-of-text token.
pub fn greedy(new: usize) -> GenerationConfig {
    GenerationConfig { max_new_tokens: Some(new), ..GenerationConfig::default() }
}

/// Drawn from the whole vocabulary.
pub fn sampled(new: usize, seed: u64) -> GenerationConfig {
    GenerationConfig { do_sample: true, top_k: 0, seed: Some(seed), ..greedy(new) }
}

/// Prompts of different lengths.
pub fn prompts() -> Vec<Vec<u32>> {
    vec![vec![5, 9, 2, 40, 77], vec![8], vec![60, 61, 62], (10..20).collect()]
}

/// The ids of every sequence, one prompt after the other.
pub fn ids(model: &Gpt2, prompts: &[Vec<u32>], config: &GenerationConfig) -> Vec<Vec<u32>> {
    let sequences = generate(model, prompts, config).unwrap();
    sequences.into_iter().flatten().map(|sequence| sequence.ids).collect()
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}
