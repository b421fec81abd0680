//! Fine-tunes a GPT-2 on children's stories, as `bookbot/gpt2-indo-small-kids-stories` did.
//!
//! `cargo run --release --example finetune_kids_stories` needs nothing else: it reads the stories
//! in `examples/corpus`, trains a tokenizer and a small model on them, prints the card's table,
//! saves a model folder, loads it again and writes three new stories with it. With
//! `--model FOLDER` it fine-tunes that model instead, and with `--data FILES` on your stories.

mod log;
mod options;
mod start;

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::folder::write_within;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::StoredDType;
use gpt2_core::{ModelFolder, device};
use gpt2_examples::Failure;
use gpt2_infer::{GenerationConfig, generate};
use gpt2_train::report::{ModelCard, best_epoch, duration, epoch_number, epoch_table};
use gpt2_train::unigram::unigram_loss;
use gpt2_train::{Callbacks, Checkpoints, Outcome, Recipe, Resume, Trainer};

use log::{log, screen};
use options::Options;
use start::Start;

fn main() -> std::process::ExitCode {
    gpt2_examples::exit_code(run(&Options::from_command_line()))
}

fn run(options: &Options) -> Result<(), Failure> {
    let trainer = Trainer::new(options.training.clone())?;
    let device = options.device.as_deref().map_or_else(device::best, device::by_name)?;
    let start = Start::new(options, &device)?;
    let config = start.model.config();
    let unigram = unigram_loss(&start.train, &start.valid, config.vocab_size)?;
    println!("{}", start.describe());
    println!("A unigram model of the same corpus: validation loss {unigram:.4}.\n");

    let card = card(options, &start, unigram);
    let mut screen = screen(options)?;
    let mut log = log(options, &card, &start.tokenizer);
    let trainer = trainer.with_checkpoints(checkpoints(options, &start));
    let mut callbacks = Callbacks(vec![screen.as_mut(), &mut log]);
    let outcome =
        trainer.run(start.model.clone(), &start.train, Some(&start.valid), &mut callbacks);
    drop(screen);
    let outcome = outcome?;
    log.finish()?;
    println!("{}", epoch_table(&outcome.epochs));
    report(&outcome, unigram);

    save(options, &start, &outcome, &card)?;
    println!("Saved {}.\n", options.output.display());
    write_stories(&options.output, options, &device)
}

fn checkpoints(options: &Options, start: &Start) -> Checkpoints {
    Checkpoints {
        resume: if options.resume { Resume::Latest } else { Resume::No },
        tokenizer: Some(start.tokenizer.clone()),
        ..Checkpoints::new(options.output.join("checkpoints"))
    }
}

/// Puts the model's files beside checkpoints and log; the text of an earlier card is its owner's.
fn save(
    options: &Options,
    start: &Start,
    outcome: &Outcome,
    card: &ModelCard,
) -> Result<(), Failure> {
    let (model, training) = (outcome.model.config(), &options.training);
    let recipe = Recipe::from(training);
    let card = card.for_folder(&options.output, model, training, &recipe, &outcome.epochs);
    let files = ModelToSave {
        model: &outcome.model,
        tokenizer: Some(&start.tokenizer),
        generation_config: None,
        card: card.as_deref(),
        dtype: StoredDType::F32,
    };
    Ok(write_within(&options.output, |folder| files.write_into(folder))?)
}

fn report(outcome: &Outcome, unigram: f64) {
    let best = best_epoch(&outcome.epochs).map(|index| outcome.epochs[index]);
    if let Some((best, evaluation)) = best.and_then(|best| Some((best, best.evaluation?))) {
        println!(
            "Best: epoch {}, validation loss {:.4}, against {unigram:.4} of the unigram model. \
             {} steps in {}.",
            epoch_number(best.epoch),
            evaluation.eval_loss,
            outcome.steps,
            duration(outcome.seconds)
        );
    }
}

fn card(options: &Options, start: &Start, unigram: f64) -> ModelCard {
    ModelCard {
        name: "GPT-2 for Indonesian children's stories".to_string(),
        summary: start.summary(),
        languages: vec!["id".to_string()],
        // The embedded stories are this project's; what others' data allow, its owners know.
        license: if options.data.is_empty() { "mit".to_string() } else { String::new() },
        datasets: options.data_names(),
        base_model: options.model.as_ref().map(|model| model.display().to_string()),
        prompt: options.prompt.clone(),
        unigram_loss: Some(unigram),
    }
}

/// Loads the folder that was just saved and goes on from the prompt.
fn write_stories(folder: &Path, options: &Options, device: &Device) -> Result<(), Failure> {
    let folder = ModelFolder::open(folder)?;
    let model = folder.model(device)?;
    let tokenizer = folder.tokenizer()?;
    let prompt = tokenizer.encode_ids(&options.prompt)?;
    let room = folder.config().n_positions.saturating_sub(prompt.len());
    let generation = GenerationConfig {
        do_sample: true,
        top_k: options.top_k,
        temperature: options.temperature,
        max_new_tokens: Some(options.max_new_tokens.min(room)),
        num_return_sequences: options.num_return_sequences,
        seed: Some(options.training.seed),
        ..GenerationConfig::from_pretrained(folder.path(), folder.config())?
    };
    for (number, story) in generate(&model, &[prompt], &generation)?.iter().flatten().enumerate() {
        println!("--- story {} ---", number + 1);
        println!("{}\n", tokenizer.decode(&story.ids, true)?);
    }
    Ok(())
}
