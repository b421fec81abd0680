//! The model card: `README.md` of a published folder.

mod marks;
mod rows;

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use gpt2_core::Gpt2Config;

use self::marks::{marked, replaced};
pub(super) use self::rows::{model_rows, training_rows};
use super::table::{duration, markdown_table};
use crate::config::TrainingConfig;
use crate::recipe::Recipe;
use crate::record::EpochRecord;

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
        let [model, training, evaluation] =
            self.parts(model, training, recipe, epochs).map(|(name, part)| marked(name, &part));
        let (front_matter, how_to_use) = (self.front_matter(), self.use_section());
        let Self { name, summary, .. } = self;
        format!(
            "{front_matter}# {name}\n\n{summary}\n\n<!-- What stands between gpt2: marks is written \
             anew when the model is saved again; all else is yours. -->\n\n## Model\n\n{model}\
             ## Training\n\n{training}## Evaluation\n\n{evaluation}{how_to_use}"
        )
    }

    /// The card of a folder that is saved again: `existing`, with this run's tables.
    ///
    /// What a first save wrote between `<!-- gpt2:... -->` marks is replaced; all other text is the
    /// user's to edit and stays, front matter included. A part whose marks are gone does not come
    /// back, and a card without marks stays as it is. Without a card, or with an empty one, it is
    /// that of [`render_recipe`](Self::render_recipe).
    ///
    /// # Example
    /// ```
    /// use gpt2_core::Gpt2Config;
    /// use gpt2_train::report::ModelCard;
    /// use gpt2_train::{Recipe, TrainingConfig};
    ///
    /// let (card, model, options) =
    ///     (ModelCard::default(), Gpt2Config::gpt2(), TrainingConfig::default());
    /// let mine = card.render(&model, &options, &[]) + "Ask me anything.";
    /// let longer = TrainingConfig { num_train_epochs: 9.0, ..options };
    /// let saved = card.update(Some(&mine), &model, &longer, &Recipe::from(&longer), &[]);
    /// assert!(saved.contains("epochs: 9") && saved.ends_with("Ask me anything."));
    /// ```
    #[must_use]
    pub fn update(
        &self,
        existing: Option<&str>,
        model: &Gpt2Config,
        training: &TrainingConfig,
        recipe: &Recipe,
        epochs: &[EpochRecord],
    ) -> String {
        match existing.filter(|text| !text.trim().is_empty()) {
            Some(text) => replaced(text, &self.parts(model, training, recipe, epochs)),
            None => self.render_recipe(model, training, recipe, epochs),
        }
    }

    /// The card to save into a folder: that of a first save, or what [`update`](Self::update) makes of
    /// the folder's own. `None` where that cannot be read as text, and is to stay as it is.
    #[must_use]
    pub fn for_folder(
        &self,
        folder: impl AsRef<Path>,
        model: &Gpt2Config,
        training: &TrainingConfig,
        recipe: &Recipe,
        epochs: &[EpochRecord],
    ) -> Option<String> {
        let existing = match fs::read_to_string(folder.as_ref().join("README.md")) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => Some(other.ok()?),
        };
        Some(self.update(existing.as_deref(), model, training, recipe, epochs))
    }

    /// What is written anew at every save, by the names of its marks.
    fn parts(
        &self,
        model: &Gpt2Config,
        training: &TrainingConfig,
        recipe: &Recipe,
        epochs: &[EpochRecord],
    ) -> [(&'static str, String); 3] {
        [
            ("model", rows_table("|---|---:|", &model_rows(model))),
            ("training", rows_table("|---|---|", &training_rows(training, recipe))),
            ("evaluation", self.evaluation(epochs)),
        ]
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

    fn evaluation(&self, epochs: &[EpochRecord]) -> String {
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let mut text = format!(
            "{}\n\nLosses are means per token, in nats; the best epoch is bold. Training took {}.\n",
            markdown_table(epochs),
            duration(seconds)
        );
        if let Some(loss) = self.unigram_loss {
            let _ = writeln!(
                text,
                "A unigram model of the same training data has a validation loss of {loss:.4}."
            );
        }
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

/// A table of names and values, without a heading.
fn rows_table(rule: &str, rows: &[(String, String)]) -> String {
    rows.iter().fold(format!("| | |\n{rule}\n"), |mut table, (name, value)| {
        let _ = writeln!(table, "| {name} | {value} |");
        table
    })
}

/// A string as YAML, JSON and Python all read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> ModelCard {
        ModelCard {
            name: "Cerita".to_string(),
            summary: "A test.".to_string(),
            languages: vec!["id".to_string()],
            license: "mit".to_string(),
            prompt: "Kata \"dia\": ya".to_string(),
            unigram_loss: Some(6.5),
            ..ModelCard::default()
        }
    }

    fn options(epochs: f64) -> TrainingConfig {
        TrainingConfig { num_train_epochs: epochs, ..TrainingConfig::default() }
    }

    fn first() -> String {
        card().render(&Gpt2Config::gpt2(), &options(3.0), &[])
    }

    /// Saves again, after a run of nine epochs.
    fn saved_over(existing: &str) -> String {
        let options = options(9.0);
        let card = ModelCard { unigram_loss: Some(7.25), ..card() };
        card.update(Some(existing), &Gpt2Config::gpt2(), &options, &Recipe::from(&options), &[])
    }

    #[test]
    fn a_card_has_front_matter_tables_and_the_prompt() {
        let text = first();
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

    #[test]
    fn a_second_save_changes_the_tables_and_nothing_else() {
        let expected = first().replace("epochs: 3", "epochs: 9").replace("6.5000", "7.2500");
        assert_eq!(saved_over(&first()), expected);
        assert_eq!(saved_over(&expected), expected);
    }

    #[test]
    fn what_the_user_has_written_survives() {
        let mine = first()
            .replace("A test.", "Stories for *Indonesian* children,\nby their grandmother.")
            .replace("- \"id\"", "- ms")
            .replace("license:", "thumbnail: picture.png # mine\nlicense:")
            .replace("## Training", "## Latihan\n\nThree nights on a laptop.")
            .replace("## How to use", "## Limits\n\nIt knows nothing.\n\n## How to use");
        let expected = mine.replace("epochs: 3", "epochs: 9").replace("6.5000", "7.2500");
        assert_eq!(saved_over(&mine), expected);
        let windows = mine.replace('\n', "\r\n");
        assert_eq!(saved_over(&windows), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn a_part_that_the_user_has_removed_does_not_come_back() {
        let text = first();
        let from = text.find("## Training").unwrap();
        let mine = text[..from].to_string() + &text[text.find("## Evaluation").unwrap()..];
        let saved = saved_over(&mine);
        assert_eq!(saved, mine.replace("6.5000", "7.2500"));
        assert!(!saved.contains("epochs: 9"));
    }

    #[test]
    fn a_card_of_the_users_own_is_left_alone_and_an_empty_one_is_none() {
        let own = "# My model\n\n| epoch |\n";
        assert_eq!(saved_over(own), own);
        assert!(saved_over(" \n").contains("epochs: 9"));
    }
}
