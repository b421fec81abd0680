//! The simplest language model there is, as a yardstick.

use crate::Result;
use crate::data::Dataset;

/// Mean loss per token, in nats, that a model gets on `valid` which knows how often each token
/// occurs in `train`, and nothing about order.
///
/// Every id of the vocabulary is counted once more than it occurs (Laplace), so that no token is
/// impossible. A model that learns anything from context must be below this.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when the data can no longer be read.
pub fn unigram_loss(train: &Dataset, valid: &Dataset, vocab_size: usize) -> Result<f64> {
    let mut counts = vec![1u64; vocab_size];
    for_each_target(train, |target| counts[target as usize] += 1)?;
    let total: u64 = counts.iter().sum();
    let mut sum = 0.0;
    for_each_target(valid, |target| sum -= (counts[target as usize] as f64 / total as f64).ln())?;
    Ok(sum / valid.scored() as f64)
}

fn for_each_target(data: &Dataset, mut use_target: impl FnMut(u32)) -> Result<()> {
    for index in 0..data.len() {
        let example = data.example(index)?;
        let targets = (0..example.input_ids.len()).filter_map(|at| example.target(at));
        targets.for_each(&mut use_target);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Example;
    use gpt2_core::Gpt2Config;

    #[test]
    fn frequent_tokens_cost_less() {
        let config = Gpt2Config { vocab_size: 4, n_positions: 8, ..Gpt2Config::gpt2() };
        let data = |ids: &[u32]| {
            Dataset::new("training", vec![Example::new(ids.to_vec())], &config).unwrap()
        };
        // Targets 1, 1, 1, 2 and one more of each id: 4, 2, 1, 1 of 8.
        let train = data(&[0, 1, 1, 1, 2]);
        let loss = unigram_loss(&train, &data(&[3, 1, 2]), 4).unwrap();
        assert!((loss - (2.0f64.ln() + 4.0f64.ln()) / 2.0).abs() < 1e-12);
        assert!(unigram_loss(&train, &data(&[0, 3]), 4).unwrap() > loss);
    }
}
