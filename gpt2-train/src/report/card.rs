//! The model card: `README.md` of a published folder.

use std::fmt::Write;

use gpt2_core::Gpt2Config;

use super::table::{duration, markdown_table};
use crate::config::TrainingConfig;
use crate::optim::{AdamForm, ClipMode};
use crate::recipe::{Recipe, Stage, StageLength};
use crate::record::EpochRecord;
use crate::schedule::{OneCycle, Schedule};

/// What a card says beside the numbers of the run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelCard {
    /// Title of the card.
    pub name: String,
    /// One paragraph: what the model is and what it was trained on.
    pub summary: String,
    /// Language codes (ISO 639-1).
    pub languages: Vec<String>,
    /// Licence identifier of the hub.
    pub license: String,
    /// Names of the data sets.
    pub datasets: Vec<String>,
    /// Hub id or folder of the model that was fine-tuned.
    pub base_model: Option<String>,
    /// A prompt for the hub's widget and for the example in the card.
    pub prompt: String,
    /// Loss per token of a unigram model on the same validation data.
    pub unigram_loss: Option<f64>,
}

impl ModelCard {
    /// The card as Markdown with the hub's YAML front matter.
    #[must_use]
    pub fn render(
        &self,
        model: &Gpt2Config,
        training: &TrainingConfig,
        epochs: &[EpochRecord],
    ) -> String {
        self.render_recipe(model, training, &Recipe::from(training), epochs)
    }

    /// As [`render`](Self::render), for a run with a recipe of its own.
    #[must_use]
    pub fn render_recipe(
        &self,
        model: &Gpt2Config,
        training: &TrainingConfig,
        recipe: &Recipe,
        epochs: &[EpochRecord],
    ) -> String {
        let mut card = self.front_matter();
        let _ = write!(card, "# {}\n\n{}\n\n", self.name, self.summary);
        card.push_str(&model_section(model));
        card.push_str(&training_section(training, recipe));
        card.push_str(&self.evaluation_section(epochs));
        card.push_str(&self.use_section());
        card
    }

    fn front_matter(&self) -> String {
        let mut yaml = String::from("---\n");
        let mut list = |key: &str, items: &[String]| {
            if !items.is_empty() {
                let _ = writeln!(yaml, "{key}:");
                for item in items {
                    let _ = writeln!(yaml, "- {}", quoted(item));
                }
            }
        };
        list("language", &self.languages);
        list("datasets", &self.datasets);
        if !self.license.is_empty() {
            let _ = writeln!(yaml, "license: {}", quoted(&self.license));
        }
        if let Some(base) = &self.base_model {
            let _ = writeln!(yaml, "base_model: {}", quoted(base));
        }
        yaml.push_str("library_name: transformers\npipeline_tag: text-generation\ntags:\n- gpt2\n");
        if !self.prompt.is_empty() {
            let _ = writeln!(yaml, "widget:\n- text: {}", quoted(&self.prompt));
        }
        yaml.push_str("---\n\n");
        yaml
    }

    fn evaluation_section(&self, epochs: &[EpochRecord]) -> String {
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let mut text = format!(
            "## Evaluation\n\n{}\n\nLosses are means per token, in nats; the best epoch is bold. \
             Training took {}.\n",
            markdown_table(epochs),
            duration(seconds)
        );
        if let Some(loss) = self.unigram_loss {
            let _ = writeln!(
                text,
                "A unigram model of the same training data has a validation loss of {loss:.4}."
            );
        }
        text.push('\n');
        text
    }

    fn use_section(&self) -> String {
        let prompt = quoted(&self.prompt);
        format!(
            "## How to use\n\nIn Rust:\n\n```sh\ngpt2 generate FOLDER --prompt {prompt} --do-sample \
             --top-k 40 --max-length 100\n```\n\nIn Python:\n\n```python\nfrom transformers import \
             pipeline\n\ngenerator = pipeline(\"text-generation\", model=\"FOLDER\")\n\
             print(generator({prompt}, max_length=100, do_sample=True, top_k=40))\n```\n\n"
        )
    }
}

fn model_section(model: &Gpt2Config) -> String {
    let rows = [
        ("parameters", model.parameter_count()),
        ("layers", model.n_layer),
        ("width", model.n_embd),
        ("heads", model.n_head),
        ("context", model.n_positions),
        ("vocabulary", model.vocab_size),
    ];
    let mut text = String::from("## Model\n\n| | |\n|---|---:|\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
    text
}

fn training_section(training: &TrainingConfig, recipe: &Recipe) -> String {
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
    let mut text = String::from("## Training\n\n| | |\n|---|---|\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
    text
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

/// A string as YAML, JSON and Python all read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_front_matter_tables_and_the_prompt() {
        let card = ModelCard {
            name: "Cerita".to_string(),
            summary: "A test.".to_string(),
            languages: vec!["id".to_string()],
            license: "mit".to_string(),
            prompt: "Kata \"dia\": ya".to_string(),
            unigram_loss: Some(6.5),
            ..ModelCard::default()
        };
        let text = card.render(&Gpt2Config::gpt2(), &TrainingConfig::default(), &[]);
        assert!(text.starts_with("---\nlanguage:\n- \"id\"\nlicense: \"mit\"\n"), "{text}");
        for part in [
            "widget:\n- text: \"Kata \\\"dia\\\": ya\"",
            "| parameters | 124439808 |",
            "| schedule | epochs: 3, learning rate 5e-5, linear, warm-up steps: 0 |",
            "| gradient norm | at most 1 (all together) |",
            "| optimizer | AdamW, betas 0.9 and 0.999, epsilon 1e-8 |",
            "| epoch |",
            "6.5000",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
