//! [`TrainingConfig`]: the numbers of a recipe.

use gpt2_core::{Error as CoreError, LoraConfig};
use serde::{Deserialize, Serialize};

use crate::optim::{AdamForm, AdamWConfig, ClipMode};
use crate::precision::ComputeDType;
use crate::recipe::StageLength;
use crate::schedule::LrScheduler;
use crate::{Error, Result};

/// How a run goes, with the names and defaults of `transformers`' `TrainingArguments`.
///
/// With the feature `clap` it is a group of command-line options too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training data; a fraction ends inside an epoch
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 3.0))]
    pub num_train_epochs: f64,
    /// Optimizer steps, instead of epochs
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub max_steps: Option<usize>,
    /// Sequences of one forward pass
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 8))]
    pub per_device_batch_size: usize,
    /// Forward passes of one optimizer step
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 1))]
    pub gradient_accumulation_steps: usize,
    /// Highest learning rate
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 5e-5))]
    pub learning_rate: f64,
    /// Course of the learning rate
    #[cfg_attr(feature = "clap", arg(long, value_enum, default_value_t = LrScheduler::Linear))]
    pub lr_scheduler: LrScheduler,
    /// Steps in which the learning rate rises from 0
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 0))]
    pub warmup_steps: usize,
    /// Decoupled weight decay, on all parameters but biases and LayerNorms
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 0.0))]
    pub weight_decay: f64,
    /// Decay of the mean of gradients
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 0.9))]
    pub adam_beta1: f64,
    /// Decay of the mean of their squares
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 0.999))]
    pub adam_beta2: f64,
    /// Added to the root of the latter
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 1e-8))]
    pub adam_epsilon: f64,
    /// Largest norm of the gradient; 0 turns clipping off
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 1.0))]
    pub max_grad_norm: f64,
    /// What that norm is taken over
    #[cfg_attr(feature = "clap", arg(long, value_enum, default_value_t = ClipMode::Global))]
    pub clip: ClipMode,
    /// Dropout, instead of the model's own
    #[cfg_attr(feature = "clap", arg(long, value_name = "P"))]
    pub dropout: Option<f64>,
    /// Rank of LoRA: train low-rank weights beside the model's own, which stay as they are
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub lora_r: Option<usize>,
    /// Factor of LoRA, which is divided by the rank
    #[cfg_attr(feature = "clap", arg(long, value_name = "X", default_value_t = 8.0))]
    pub lora_alpha: f64,
    /// Dropout on the input of the low-rank weights
    #[cfg_attr(feature = "clap", arg(long, value_name = "P", default_value_t = 0.0))]
    pub lora_dropout: f64,
    /// Modules with low-rank weights: `c_attn`, `c_proj`, `c_fc`, `mlp.c_proj`, `h.0.attn.c_attn`, ..
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "M,..", value_delimiter = ',', default_value = "c_attn")
    )]
    pub lora_target_modules: Vec<String>,
    /// Divide by the root of the rank instead (rank-stabilized LoRA)
    #[cfg_attr(feature = "clap", arg(long))]
    pub lora_use_rslora: bool,
    /// Seed of everything random in the run
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 42))]
    pub seed: u64,
    /// Keep the sequences in the order of the data
    #[cfg_attr(feature = "clap", arg(long = "no-shuffle", action = clap::ArgAction::SetFalse))]
    pub shuffle: bool,
    /// Evaluate every N steps, besides at the end of every epoch
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub eval_steps: Option<usize>,
    /// Evaluate before the first step too
    #[cfg_attr(feature = "clap", arg(long))]
    pub eval_on_start: bool,
    /// Write a checkpoint every N steps [default: at the end of every epoch]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub save_steps: Option<usize>,
    /// Checkpoints to keep, the latest ones; with `--load-best-model-at-end` that of the best
    /// evaluation is kept too, in place of the oldest of them
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = 2))]
    pub save_total_limit: usize,
    /// Stop after N evaluations without a better loss
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub early_stopping_patience: Option<usize>,
    /// Keep the weights of the best evaluation, not the last ones
    #[cfg_attr(feature = "clap", arg(long))]
    pub load_best_model_at_end: bool,
    /// Element type of the products of a step; weights and optimizer stay f32
    #[cfg_attr(feature = "clap", arg(long, value_enum, default_value_t = ComputeDType::F32))]
    pub dtype: ComputeDType,
    /// Run every block again in the backward pass, for less memory
    #[cfg_attr(feature = "clap", arg(long))]
    pub gradient_checkpointing: bool,
    /// Skip a step whose loss or gradient norm is X standard deviations above those before
    #[cfg_attr(feature = "clap", arg(long, value_name = "X"))]
    pub skip_z_score: Option<f64>,
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
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            clip: ClipMode::Global,
            dropout: None,
            lora_r: None,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            lora_target_modules: vec!["c_attn".to_string()],
            lora_use_rslora: false,
            seed: 42,
            shuffle: true,
            eval_steps: None,
            eval_on_start: false,
            save_steps: None,
            save_total_limit: 2,
            early_stopping_patience: None,
            load_best_model_at_end: false,
            dtype: ComputeDType::F32,
            gradient_checkpointing: false,
            skip_z_score: None,
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
            ("save_steps", self.save_steps),
            ("save_total_limit", Some(self.save_total_limit)),
            ("early_stopping_patience", self.early_stopping_patience),
        ] {
            if value == Some(0) {
                return Err(Error::option(option, 0, "at least 1"));
            }
        }
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let below_one = |value: f64| (0.0..1.0).contains(&value);
        let dropout = self.dropout.unwrap_or(0.0);
        let z_score = self.skip_z_score.unwrap_or(1.0);
        for (option, value, good, expected) in [
            ("num_train_epochs", self.num_train_epochs, positive(self.num_train_epochs), "above 0"),
            ("learning_rate", self.learning_rate, positive(self.learning_rate), "above 0"),
            ("weight_decay", self.weight_decay, not_negative(self.weight_decay), "0 or more"),
            ("adam_beta1", self.adam_beta1, below_one(self.adam_beta1), "in [0, 1)"),
            ("adam_beta2", self.adam_beta2, below_one(self.adam_beta2), "in [0, 1)"),
            ("adam_epsilon", self.adam_epsilon, positive(self.adam_epsilon), "above 0"),
            ("max_grad_norm", self.max_grad_norm, not_negative(self.max_grad_norm), "0 or more"),
            ("dropout", dropout, below_one(dropout), "in [0, 1)"),
            ("skip_z_score", z_score, positive(z_score), "above 0"),
        ] {
            if !good {
                return Err(Error::option(option, value, format!("a number {expected}")));
            }
        }
        if self.lr_scheduler == LrScheduler::OneCycle && self.warmup_steps > 0 {
            let expected = "0 with one-cycle, which has a rise of its own";
            return Err(Error::option("warmup_steps", self.warmup_steps, expected));
        }
        self.validate_lora()
    }

    /// Checks LoRA, under the names that the options have here.
    fn validate_lora(&self) -> Result<()> {
        let Some(lora) = self.lora() else {
            let default = Self::default();
            let (alpha, dropout) = (self.lora_alpha, self.lora_dropout);
            for (option, found, is_given) in [
                ("lora_alpha", alpha.to_string(), alpha != default.lora_alpha),
                ("lora_dropout", dropout.to_string(), dropout != default.lora_dropout),
                (
                    "lora_target_modules",
                    self.lora_target_modules.join(","),
                    self.lora_target_modules != default.lora_target_modules,
                ),
                ("lora_use_rslora", "true".to_string(), self.lora_use_rslora),
            ] {
                if is_given {
                    return Err(Error::option(option, found, "`lora_r` beside it"));
                }
            }
            return Ok(());
        };
        lora.validate().map_err(|error| match error {
            CoreError::Field { field, found, expected, .. } => {
                let option = match field.as_str() {
                    "r" => "lora_r",
                    "lora_alpha" => "lora_alpha",
                    "lora_dropout" => "lora_dropout",
                    _ => "lora_target_modules",
                };
                Error::option(option, found, expected)
            }
            other => other.into(),
        })
    }

    /// The low-rank weights that are trained, with `lora_r`; all parameters are without.
    #[must_use]
    pub fn lora(&self) -> Option<LoraConfig> {
        Some(LoraConfig {
            r: self.lora_r?,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: self.lora_target_modules.clone(),
            use_rslora: self.lora_use_rslora,
        })
    }

    /// The constants of the optimizer, in one of its forms.
    #[must_use]
    pub fn adamw(&self, form: AdamForm) -> AdamWConfig {
        AdamWConfig {
            form,
            adam_beta1: self.adam_beta1,
            adam_beta2: self.adam_beta2,
            adam_epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// Optimizer steps of one epoch over `examples` sequences; the last may be a smaller one.
    #[must_use]
    pub fn steps_per_epoch(&self, examples: usize) -> usize {
        let batches = examples.div_ceil(self.per_device_batch_size.max(1));
        batches.div_ceil(self.gradient_accumulation_steps.max(1)).max(1)
    }

    /// How long a run is.
    #[must_use]
    pub fn length(&self) -> StageLength {
        let epochs = StageLength::Epochs(self.num_train_epochs);
        self.max_steps.map_or(epochs, StageLength::Steps)
    }

    /// Optimizer steps of the whole run over `examples` sequences.
    #[must_use]
    pub fn total_steps(&self, examples: usize) -> usize {
        self.length().steps(self.steps_per_epoch(examples))
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
            (TrainingConfig { lora_r: Some(0), ..good() }, "lora_r"),
            (TrainingConfig { lora_alpha: 16.0, ..good() }, "lora_alpha"),
            (TrainingConfig { lora_use_rslora: true, ..good() }, "lora_use_rslora"),
            (TrainingConfig { lora_r: Some(4), lora_dropout: 1.0, ..good() }, "lora_dropout"),
            (
                TrainingConfig { lora_r: Some(4), lora_target_modules: Vec::new(), ..good() },
                "lora_target_modules",
            ),
            (TrainingConfig { skip_z_score: Some(0.0), ..good() }, "skip_z_score"),
            (
                TrainingConfig { lr_scheduler: LrScheduler::OneCycle, warmup_steps: 1, ..good() },
                "warmup_steps",
            ),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{option}`")), "{message}");
        }
        good().validate().unwrap();
    }
}
