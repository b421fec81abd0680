//! The simplest language model there is, as a yardstick.

use crate::data::{Dataset, Example};

/// Mean loss per token, in nats, that a model gets on `valid` which knows how often each token
/// occurs in `train`, and nothing about order.
///
/// Every id of the vocabulary is counted once more than it occurs (Laplace), so that no token is
/// impossible. A model that learns anything from context must be below this.
#[must_use]
pub fn unigram_loss(train: &Dataset, valid: &Dataset, vocab_size: usize) -> f64 {
    let mut counts = vec![1u64; vocab_size];
    for target in targets(train) {
        counts[target as usize] += 1;
    }
    let total: u64 = counts.iter().sum();
    let loss = |target: u32| -((counts[target as usize] as f64 / total as f64).ln());
    targets(valid).map(loss).sum::<f64>() / valid.scored() as f64
}

fn targets(data: &Dataset) -> impl Iterator<Item = u32> {
    let of = |example: &'_ Example| -> Vec<u32> {
        (0..example.input_ids.len()).filter_map(|at| example.target(at)).collect()
    };
    data.examples().iter().flat_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpt2_core::Gpt2Config;

    #[test]
    fn frequent_tokens_cost_less() {
        let config = Gpt2Config { vocab_size: 4, n_positions: 8, ..Gpt2Config::gpt2() };
        let data = |ids: &[u32]| {
            Dataset::new("training", vec![Example::new(ids.to_vec())], &config).unwrap()
        };
        // Targets 1, 1, 1, 2 and one more of each id: 4, 2, 1, 1 of 8.
        let train = data(&[0, 1, 1, 1, 2]);
        let loss = unigram_loss(&train, &data(&[3, 1, 2]), 4);
        assert!((loss - (2.0f64.ln() + 4.0f64.ln()) / 2.0).abs() < 1e-12);
        assert!(unigram_loss(&train, &data(&[0, 3]), 4) > loss);
    }
}
