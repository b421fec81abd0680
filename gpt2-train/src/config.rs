//! [`TrainingConfig`]: the numbers of a recipe.

use serde::{Deserialize, Serialize};

use crate::optim::{AdamWConfig, ClipMode};
use crate::schedule::LrScheduler;
use crate::{Error, Result};

/// How a run goes, with the names and defaults of `transformers`' `TrainingArguments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training data; a fraction ends inside an epoch.
    pub num_train_epochs: f64,
    /// Optimizer steps; overrides `num_train_epochs`.
    pub max_steps: Option<usize>,
    /// Sequences of one forward pass.
    pub per_device_batch_size: usize,
    /// Forward passes of one optimizer step.
    pub gradient_accumulation_steps: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate.
    pub lr_scheduler: LrScheduler,
    /// Steps in which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// Constants of the optimizer.
    #[serde(flatten)]
    pub optimizer: AdamWConfig,
    /// Largest norm of the gradient; 0 turns clipping off.
    pub max_grad_norm: f64,
    /// What that norm is taken over.
    pub clip: ClipMode,
    /// Dropout instead of the model's own.
    pub dropout: Option<f64>,
    /// Seed of the order of the data and of dropout.
    pub seed: u64,
    /// Whether every epoch has its own order.
    pub shuffle: bool,
    /// Evaluate every so many steps, besides at the end of every epoch.
    pub eval_steps: Option<usize>,
    /// Stop after so many evaluations without a better loss.
    pub early_stopping_patience: Option<usize>,
    /// Return the weights of the best evaluation instead of the last ones.
    pub load_best_model_at_end: bool,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            num_train_epochs: 3.0,
            max_steps: None,
            per_device_batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 5e-5,
            lr_scheduler: LrScheduler::Linear,
            warmup_steps: 0,
            optimizer: AdamWConfig {
                adam_beta1: 0.9,
                adam_beta2: 0.999,
                adam_epsilon: 1e-8,
                weight_decay: 0.0,
            },
            max_grad_norm: 1.0,
            clip: ClipMode::Global,
            dropout: None,
            seed: 42,
            shuffle: true,
            eval_steps: None,
            early_stopping_patience: None,
            load_best_model_at_end: false,
        }
    }
}

impl TrainingConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first one that is wrong.
    pub fn validate(&self) -> Result<()> {
        for (option, value) in [
            ("max_steps", self.max_steps),
            ("per_device_batch_size", Some(self.per_device_batch_size)),
            ("gradient_accumulation_steps", Some(self.gradient_accumulation_steps)),
            ("eval_steps", self.eval_steps),
            ("early_stopping_patience", self.early_stopping_patience),
        ] {
            if value == Some(0) {
                return Err(Error::option(option, 0, "at least 1"));
            }
        }
        let AdamWConfig { adam_beta1, adam_beta2, adam_epsilon, weight_decay } = self.optimizer;
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let below_one = |value: f64| (0.0..1.0).contains(&value);
        for (option, value, good, expected) in [
            ("num_train_epochs", self.num_train_epochs, positive(self.num_train_epochs), "above 0"),
            ("learning_rate", self.learning_rate, positive(self.learning_rate), "above 0"),
            ("weight_decay", weight_decay, not_negative(weight_decay), "0 or more"),
            ("adam_beta1", adam_beta1, below_one(adam_beta1), "in [0, 1)"),
            ("adam_beta2", adam_beta2, below_one(adam_beta2), "in [0, 1)"),
            ("adam_epsilon", adam_epsilon, positive(adam_epsilon), "above 0"),
            ("max_grad_norm", self.max_grad_norm, not_negative(self.max_grad_norm), "0 or more"),
            (
                "dropout",
                self.dropout.unwrap_or(0.0),
                below_one(self.dropout.unwrap_or(0.0)),
                "in [0, 1)",
            ),
        ] {
            if !good {
                return Err(Error::option(option, value, format!("a number {expected}")));
            }
        }
        Ok(())
    }

    /// Optimizer steps of one epoch over `examples` sequences; the last may be a smaller one.
    #[must_use]
    pub fn steps_per_epoch(&self, examples: usize) -> usize {
        let batches = examples.div_ceil(self.per_device_batch_size.max(1));
        batches.div_ceil(self.gradient_accumulation_steps.max(1)).max(1)
    }

    /// Optimizer steps of the whole run over `examples` sequences.
    #[must_use]
    pub fn total_steps(&self, examples: usize) -> usize {
        let by_epochs = self.num_train_epochs * self.steps_per_epoch(examples) as f64;
        self.max_steps.unwrap_or(by_epochs.ceil().max(1.0) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_partial_batches() {
        let config = TrainingConfig {
            num_train_epochs: 2.5,
            gradient_accumulation_steps: 2,
            ..TrainingConfig::default()
        };
        assert_eq!(config.steps_per_epoch(33), 3); // 5 batches of 8, two by two
        assert_eq!(config.total_steps(33), 8);
        assert_eq!(TrainingConfig { max_steps: Some(4), ..config }.total_steps(33), 4);
    }

    #[test]
    fn every_bad_option_is_named() {
        let good = TrainingConfig::default;
        for (config, option) in [
            (TrainingConfig { per_device_batch_size: 0, ..good() }, "per_device_batch_size"),
            (TrainingConfig { learning_rate: f64::NAN, ..good() }, "learning_rate"),
            (TrainingConfig { num_train_epochs: 0.0, ..good() }, "num_train_epochs"),
            (TrainingConfig { max_grad_norm: -1.0, ..good() }, "max_grad_norm"),
            (TrainingConfig { dropout: Some(1.0), ..good() }, "dropout"),
            (TrainingConfig { eval_steps: Some(0), ..good() }, "eval_steps"),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{option}`")), "{message}");
        }
        good().validate().unwrap();
    }
}
