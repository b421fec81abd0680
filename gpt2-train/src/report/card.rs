//! The model card: `README.md` of a published folder.

use std::fmt::Write;

use gpt2_core::Gpt2Config;

use super::table::{duration, markdown_table};
use crate::config::TrainingConfig;
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
        let mut card = self.front_matter();
        let _ = write!(card, "# {}\n\n{}\n\n", self.name, self.summary);
        card.push_str(&model_section(model));
        card.push_str(&training_section(training));
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

fn training_section(training: &TrainingConfig) -> String {
    let rows = [
        ("learning rate", format!("{:e}, {:?}", training.learning_rate, training.lr_scheduler)),
        ("warm-up steps", training.warmup_steps.to_string()),
        ("sequences per step", {
            let size = training.per_device_batch_size;
            format!("{size} x {}", training.gradient_accumulation_steps)
        }),
        ("epochs", training.num_train_epochs.to_string()),
        ("optimizer", {
            let beta2 = training.adam_beta2;
            let beta1 = match training.lr_scheduler.schedule(training.warmup_steps) {
                Schedule::OneCycle(OneCycle { moms: [first, middle, last], .. }) => {
                    format!("{first} to {middle} to {last}")
                }
                _ => training.adam_beta1.to_string(),
            };
            format!("AdamW, betas {beta1} and {beta2}, epsilon {:e}", training.adam_epsilon)
        }),
        ("weight decay", training.weight_decay.to_string()),
        ("gradient norm", format!("at most {} ({:?})", training.max_grad_norm, training.clip)),
        ("seed", training.seed.to_string()),
    ];
    let mut text = String::from("## Training\n\n| | |\n|---|---|\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
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
            "| learning rate | 5e-5, Linear |",
            "| epoch |",
            "6.5000",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
