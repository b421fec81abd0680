//! Tokens drawn after the processors of a chain follow the distribution that transformers gives.

use gpt2_core::Gpt2Batch;
use gpt2_infer::GenerationConfig;
use gpt2_infer::sample::Sampler;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::compare::measured;
use crate::json::{items, text};
use crate::models::{devices, host, load};
use crate::processors::{chain_list, chain_options, with_processors};
use crate::root::roots;

/// Draws for each distribution.
const DRAWS: usize = 20_000;

/// A distribution is rejected below this.
const SIGNIFICANT: f64 = 1e-3;

/// Draws that a cell has to expect for the statistic to follow its distribution.
const LEAST_EXPECTED: f64 = 5.0;

/// One distribution: what goes in, and the probabilities that transformers gives.
struct Case {
    ids: Vec<u32>,
    prompt_length: usize,
    scores: Vec<f32>,
    expected: Vec<f64>,
}

impl Case {
    /// How likely draws as far from the expected distribution are, when they are drawn after the
    /// processors of `options`.
    fn p_value(&self, options: &GenerationConfig, stream: u64) -> f64 {
        let mut scores = self.scores.clone();
        chain_list(options, self.prompt_length).process(&self.ids, &mut scores);
        let mut sampler = Sampler::multinomial(20_260, stream);
        let mut counts = vec![0; scores.len()];
        for _ in 0..DRAWS {
            counts[sampler.choose(&scores).expect("a token") as usize] += 1;
        }
        p_value(&counts, &self.expected)
    }
}

/// Pearson's test: the probability of counts as far from the expected ones or farther.
///
/// Cells that expect few draws are taken together; one draw of what cannot be is proof.
fn p_value(counts: &[usize], probabilities: &[f64]) -> f64 {
    let draws = counts.iter().sum::<usize>() as f64;
    let total: f64 = probabilities.iter().sum();
    let (mut cells, mut rest) = (Vec::new(), (0.0, 0.0));
    for (&count, &probability) in counts.iter().zip(probabilities) {
        let (count, mean) = (count as f64, probability / total * draws);
        match mean {
            0.0 if count > 0.0 => return 0.0,
            _ if mean >= LEAST_EXPECTED => cells.push((count, mean)),
            _ => rest = (rest.0 + count, rest.1 + mean),
        }
    }
    match cells.last_mut() {
        Some(last) if rest.1 < LEAST_EXPECTED => *last = (last.0 + rest.0, last.1 + rest.1),
        _ => cells.push(rest),
    }
    if cells.len() == 1 {
        return 1.0;
    }
    let terms = cells.iter().map(|(count, mean)| (count - mean) * (count - mean) / mean);
    let distribution = ChiSquared::new((cells.len() - 1) as f64).expect("degrees of freedom");
    distribution.sf(terms.sum())
}

/// The chains of every root that draw, each with its options and its distributions: after every
/// row of scores, and after the model.
fn chains() -> Vec<(String, GenerationConfig, Vec<Case>)> {
    let mut chains = Vec::new();
    let (_, device) = devices().remove(0);
    for (root, whole, arrays, inputs) in with_processors() {
        let prompt = arrays.ids("model.input_ids").remove(0);
        let model = load(&root.model(text(&whole, "model")), &device);
        let batch = Gpt2Batch::new(std::slice::from_ref(&prompt), model.config(), &device);
        let logits = host(model.forward(&batch.expect("a good prompt")));
        let logits = &logits[logits.len() - model.config().vocab_size..];
        for chain in items(&whole["chains"]) {
            let name = text(chain, "name");
            let options = chain_options(chain);
            if !options.do_sample {
                continue;
            }
            let expected = arrays.floats(&format!("chain.{name}.probs"));
            let width = expected.shape[1];
            let rows = inputs.scores.values.chunks_exact(width).zip(&inputs.histories);
            let rows = rows.zip(expected.values.chunks_exact(width));
            let mut cases: Vec<Case> = rows
                .map(|((scores, ids), expected)| Case {
                    ids: ids.clone(),
                    prompt_length: ids.len() - 3,
                    scores: scores.iter().map(|&score| score as f32).collect(),
                    expected: expected.to_vec(),
                })
                .collect();
            cases.push(Case {
                ids: prompt.clone(),
                prompt_length: prompt.len(),
                scores: logits.to_vec(),
                expected: arrays.floats(&format!("model.{name}.probs")).values,
            });
            chains.push((format!("{} {name}", root.name), options, cases));
        }
    }
    chains
}

/// The options with one thing wrong.
fn wrong(options: &GenerationConfig) -> Vec<(&'static str, GenerationConfig)> {
    let temperature = 1.25 * options.temperature;
    let mut list = vec![("temperature", GenerationConfig { temperature, ..options.clone() })];
    if options.top_p < 1.0 && options.num_beams == 1 {
        list.push(("top_p", GenerationConfig { top_p: 1.0, ..options.clone() }));
    }
    if options.repetition_penalty != 1.0 {
        let repetition_penalty = 1.0;
        list.push(("penalty", GenerationConfig { repetition_penalty, ..options.clone() }));
    }
    list
}

#[test]
fn draws_follow_the_distribution_of_every_chain() {
    let chains = chains();
    assert!(chains.len() >= 5 * roots().len(), "{}", chains.len());
    for (context, options, cases) in chains {
        for (row, case) in cases.iter().enumerate() {
            let p = case.p_value(&options, row as u64);
            measured(&format!("p of draws\t{p:.4}\t{context} {row}"));
            assert!(p > SIGNIFICANT, "{context} row {row}: p = {p:.2e}");
        }
    }
}

#[test]
fn the_test_of_draws_rejects_a_chain_with_one_thing_wrong() {
    for (context, options, cases) in chains() {
        for (what, options) in wrong(&options) {
            let rows = cases.iter().enumerate();
            let p = rows.map(|(row, case)| case.p_value(&options, row as u64)).fold(1.0, f64::min);
            measured(&format!("p of wrong draws\t{p:.1e}\t{context} {what}"));
            assert!(p < SIGNIFICANT, "{context}, {what} wrong: p = {p:.2e}");
        }
    }
}

#[test]
fn the_p_value_is_that_of_tables() {
    // Two standard deviations, by one degree of freedom.
    let p = p_value(&[60, 40], &[0.5, 0.5]);
    assert!((p - 0.0455).abs() < 1e-4, "{p}");
    assert_eq!(p_value(&[100, 1], &[1.0, 0.0]), 0.0);
    assert_eq!(p_value(&[100, 0], &[1.0, 0.0]), 1.0);
    // Too few are expected of the last two to stand alone.
    assert_eq!(p_value(&[98, 1, 1], &[0.98, 0.01, 0.01]), 1.0);
}
