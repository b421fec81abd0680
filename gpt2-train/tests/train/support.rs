//! Small models, and data with a rule that they can learn.

use std::process::Command;

use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::Dataset;
use gpt2_train::data::blocks;

/// Extents of a model of two layers and 40 tokens.
pub struct Size {
    n_positions: usize,
    n_embd: usize,
    n_head: usize,
}

pub const SMALL: Size = Size { n_positions: 8, n_embd: 16, n_head: 2 };
pub const MEDIUM: Size = Size { n_positions: 16, n_embd: 32, n_head: 4 };

/// Set in the process that [`is_alone`] starts.
const ALONE: &str = "GPT2_TEST_ALONE";

/// Whether a test is in a process of its own, with these variables; where it is not, it is run in one, and must pass.
///
/// For what other tests would disturb: the buffers of operations, and variables that are read once.
pub fn is_alone(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let alone = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    assert!(output.contains("1 passed"), "`{test}` is no test: {output}");
    false
}

/// Ids of which every one follows from the one before it.
pub fn rule(tokens: usize) -> Vec<u32> {
    std::iter::successors(Some(1u32), |id| Some((id * 7 + 3) % 40)).take(tokens).collect()
}

impl Size {
    pub fn config(&self) -> Gpt2Config {
        Gpt2Config {
            vocab_size: 40,
            n_positions: self.n_positions,
            n_embd: self.n_embd,
            n_layer: 2,
            n_head: self.n_head,
            ..Gpt2Config::gpt2()
        }
    }

    pub fn model(&self) -> Gpt2 {
        Gpt2::init(&self.config(), 1, &device::test_device()).unwrap()
    }

    /// So many sequences of the model's context.
    pub fn data(&self, rows: usize) -> Dataset {
        let stream = rule(rows * self.n_positions);
        Dataset::new("training", blocks(&[stream], None, self.n_positions), &self.config()).unwrap()
    }
}
