//! What a run says about itself, as rows of names and values.

use std::fmt::Write;

use gpt2_core::{Gpt2Config, LoraConfig};

use crate::config::TrainingConfig;
use crate::optim::{AdamForm, ClipMode};
use crate::precision::ComputeDType;
use crate::recipe::{Recipe, Stage, StageLength};
use crate::schedule::{OneCycle, Schedule};

/// Shape of the model, as names and values.
pub(in crate::report) fn model_rows(model: &Gpt2Config) -> Vec<(String, String)> {
    let rows = [
        ("parameters", model.parameter_count()),
        ("layers", model.n_layer),
        ("width", model.n_embd),
        ("heads", model.n_head),
        ("context", model.n_positions),
        ("vocabulary", model.vocab_size),
    ];
    rows.map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
}

/// Stages and options of the run that matter to its result, as names and values.
pub(in crate::report) fn training_rows(
    training: &TrainingConfig,
    recipe: &Recipe,
) -> Vec<(String, String)> {
    let stages = recipe.stages.iter().enumerate();
    let name = |number: usize| match recipe.stages.len() {
        1 => "schedule".to_string(),
        _ => format!("stage {}", number + 1),
    };
    let mut rows: Vec<(String, String)> =
        stages.map(|(number, stage)| (name(number), stage_text(stage, recipe))).collect();
    let common = [
        ("sequences per step", {
            let size = training.per_device_batch_size;
            format!("{size} x {}", training.gradient_accumulation_steps)
        }),
        ("optimizer", {
            let adam = match recipe.adam {
                AdamForm::Torch => "AdamW",
                AdamForm::Keras => "Keras' Adam",
            };
            let (beta1, beta2) = (training.adam_beta1, training.adam_beta2);
            let epsilon = training.adam_epsilon;
            let moves = |stage: &Stage| matches!(stage.schedule, Schedule::OneCycle(_));
            match recipe.stages.iter().all(moves) {
                true => format!("{adam}, beta2 {beta2}, epsilon {epsilon:e}"),
                false => format!("{adam}, betas {beta1} and {beta2}, epsilon {epsilon:e}"),
            }
        }),
        ("weight decay", training.weight_decay.to_string()),
        ("gradient norm", {
            let of = match training.clip {
                ClipMode::Global => "all together",
                ClipMode::PerTensor => "each tensor",
            };
            match training.max_grad_norm {
                0.0 => "not limited".to_string(),
                most => format!("at most {most} ({of})"),
            }
        }),
        ("seed", training.seed.to_string()),
    ];
    rows.extend(common.map(|(name, value)| (name.to_string(), value)));
    if training.dtype != ComputeDType::F32 {
        let value = format!("products in {}, weights in f32", training.dtype.name());
        rows.push(("mixed precision".to_string(), value));
    }
    rows.extend(training.lora().map(|lora| ("LoRA".to_string(), lora_text(&lora))));
    rows
}

/// One line about low-rank weights, which the published ones have in them.
fn lora_text(lora: &LoraConfig) -> String {
    let LoraConfig { r, lora_alpha, lora_dropout, target_modules, use_rslora } = lora;
    let kind = if *use_rslora { ", rank-stabilized" } else { "" };
    let modules = target_modules.join(", ");
    format!("rank {r}, alpha {lora_alpha}{kind}, dropout {lora_dropout}, on {modules}; merged")
}

/// One line about a stage.
fn stage_text(stage: &Stage, recipe: &Recipe) -> String {
    let mut text = match stage.length {
        StageLength::Epochs(epochs) => format!("epochs: {epochs}"),
        StageLength::Steps(steps) => format!("steps: {steps}"),
    };
    let _ = write!(text, ", learning rate {:e}", stage.learning_rate);
    if let Some(lowest) = stage.lowest_learning_rate {
        let _ = write!(text, " down to {lowest:e}");
    }
    match stage.schedule {
        Schedule::OneCycle(OneCycle { moms: [first, middle, last], .. }) => {
            let _ = write!(text, ", one-cycle, beta1 {first} to {middle} to {last}");
        }
        Schedule::Linear { warmup_steps } | Schedule::LinearFromZero { warmup_steps } => {
            let _ = write!(text, ", linear, warm-up steps: {warmup_steps}");
        }
        Schedule::Cosine { warmup_steps } => {
            let _ = write!(text, ", cosine, warm-up steps: {warmup_steps}");
        }
        Schedule::Constant { warmup_steps } => {
            let _ = write!(text, ", constant, warm-up steps: {warmup_steps}");
        }
        Schedule::Exponential { start } => {
            let _ = write!(text, ", exponential from {:e}", start * stage.learning_rate);
        }
    }
    if stage.frozen_groups > 0 {
        let _ = write!(text, ", frozen: {} of {}", stage.frozen_groups, recipe.groups.count());
    }
    text
}
