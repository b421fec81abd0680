//! A run from start to published folder.

use std::path::Path;

use gpt2_core::Gpt2;
use gpt2_core::folder::write_within;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::weights::StoredDType;
use gpt2_infer::{GenerationConfig, Pipeline};
use gpt2_train::report::{ModelCard, Report, RunLog, TrainingProgress, epoch_table};
use gpt2_train::unigram::unigram_loss;
use gpt2_train::{
    Callbacks, Checkpoints, Dataset, Outcome, Recipe, Resume, Trainer, TrainingConfig,
};
use serde_json::{Map, Value};

use super::texts::dataset;
use super::{JobOptions, Rehearsal};
use crate::Failure;

/// What a program has of its own.
#[derive(Debug)]
pub struct Program {
    /// English name of the language.
    pub language: &'static str,
    /// Its code, for the card.
    pub code: &'static str,
    /// The recipe, as TOML.
    pub recipe: &'static str,
    /// How it is changed for the program's own text.
    pub rehearsal: Rehearsal,
    /// How the texts begin that the trained model writes.
    pub prompt: &'static str,
    /// Number of these texts.
    pub sequences: usize,
}

/// A run with all that it needs.
#[derive(Debug)]
pub struct Job<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its command line.
    pub options: &'a JobOptions,
    /// Where training starts.
    pub model: Gpt2,
    /// The tokenizer of the new model.
    pub tokenizer: Tokenizer,
    /// Its generation defaults.
    pub generation_config: Option<Map<String, Value>>,
    /// What the model was before, for the card.
    pub base_model: Option<String>,
    /// Texts to train on.
    pub train: Vec<String>,
    /// Texts to measure on.
    pub valid: Vec<String>,
}

impl Job<'_> {
    /// Trains by the recipe, prints the card's table, saves the folder and writes a text with it.
    ///
    /// # Errors
    /// Whatever is wrong with the options, the device or the output folder.
    pub fn run(&self) -> Result<Outcome, Failure> {
        let (config, recipe) = self.options.recipe(self.program)?;
        let (train, valid) =
            (self.dataset("training", &self.train)?, self.dataset("validation", &self.valid)?);
        let model = self.model.config();
        let unigram = unigram_loss(&train, &valid, model.vocab_size)?;
        println!(
            "{} documents to train on ({} tokens), {} held out ({} tokens).\n\
             {} layers of width {}, vocabulary {}, {:.2} million parameters, {} stage(s).\n\
             A unigram model of the same corpus: validation loss {unigram:.4}.\n",
            self.train.len(),
            train.scored(),
            self.valid.len(),
            valid.scored(),
            model.n_layer,
            model.n_embd,
            model.vocab_size,
            model.parameter_count() as f64 / 1e6,
            recipe.stages.len(),
        );
        let output = self.options.output(self.program);
        let card = self.card(unigram);
        let trainer = Trainer::with_recipe(config.clone(), recipe.clone())?
            .with_checkpoints(self.checkpoints(&output));
        let mut progress = TrainingProgress::new(self.options.quiet);
        let report = Report::new(&card.name, &card.summary, &config, &recipe);
        let mut log = RunLog::new(&output, report);
        let mut callbacks = Callbacks(vec![&mut progress, &mut log]);
        let outcome = trainer.run(self.model.clone(), &train, Some(&valid), &mut callbacks);
        progress.finish();
        let outcome = outcome?;
        log.finish()?;
        println!("{}", epoch_table(&outcome.epochs));
        self.save(&output, &outcome, &config, &recipe, &card)?;
        println!("{} steps. Saved {}.\n", outcome.steps, output.display());
        self.write_text(&output)?;
        Ok(outcome)
    }

    /// Texts as sequences for the model.
    ///
    /// # Errors
    /// When a text has too few tokens for a sequence.
    pub fn dataset(&self, set: &'static str, texts: &[String]) -> Result<Dataset, Failure> {
        let config = self.model.config();
        let length = self.options.block_size(config.n_positions);
        dataset(set, texts, &self.tokenizer, length, config)
    }

    fn checkpoints(&self, output: &Path) -> Checkpoints {
        Checkpoints {
            resume: if self.options.resume { Resume::Latest } else { Resume::No },
            tokenizer: Some(self.tokenizer.clone()),
            ..Checkpoints::new(output.join("checkpoints"))
        }
    }

    fn card(&self, unigram: f64) -> ModelCard {
        let Program { language, code, .. } = self.program;
        let origin = match self.base_model {
            Some(_) => "English GPT-2 that went on in",
            None => "GPT-2 trained from scratch in",
        };
        let name = |file: &std::path::PathBuf| {
            file.file_name().map(|name| name.to_string_lossy().into_owned())
        };
        let rehearsal = self.options.is_rehearsal();
        ModelCard {
            name: format!("GPT-2 for {language}"),
            summary: format!("A language model: {origin} {language}."),
            languages: vec![code.to_string()],
            // The text of a rehearsal is this project's; what others' data allow, its owners know.
            license: if rehearsal { "mit".to_string() } else { String::new() },
            datasets: self.options.data.iter().filter_map(name).collect(),
            base_model: self.base_model.clone(),
            prompt: self.prompt().to_string(),
            unigram_loss: Some(unigram),
        }
    }

    /// Puts the model's files beside checkpoints and log; the text of an earlier card is its owner's.
    fn save(
        &self,
        output: &Path,
        outcome: &Outcome,
        config: &TrainingConfig,
        recipe: &Recipe,
        card: &ModelCard,
    ) -> Result<(), Failure> {
        let model = outcome.model.config();
        let card = card.for_folder(output, model, config, recipe, &outcome.epochs);
        let folder = ModelToSave {
            model: &outcome.model,
            tokenizer: Some(&self.tokenizer),
            generation_config: self.generation_config.as_ref(),
            card: card.as_deref(),
            dtype: StoredDType::F32,
        };
        Ok(write_within(output, |temporary| folder.write_into(temporary))?)
    }

    fn prompt(&self) -> &str {
        self.options.prompt.as_deref().unwrap_or(self.program.prompt)
    }

    /// Opens the folder that was just saved and goes on from the prompt, as the folder says if it says how.
    fn write_text(&self, output: &Path) -> Result<(), Failure> {
        let pipeline = Pipeline::from_pretrained(output, &self.options.device()?)?;
        let mut config = GenerationConfig {
            num_return_sequences: self.program.sequences,
            seed: Some(self.options.seed),
            ..pipeline.generation_config().clone().with_max_length(50)
        };
        if !config.do_sample {
            config = GenerationConfig { do_sample: true, top_k: 40, temperature: 0.7, ..config };
        }
        for generated in pipeline.generate(self.prompt(), &config)? {
            println!("{}", generated.text);
        }
        Ok(())
    }
}
