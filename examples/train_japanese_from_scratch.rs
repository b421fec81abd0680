//! `colorfulscoop/gpt2-small-ja` from the start: GPT-2 small is trained from scratch in Japanese.
//!
//! `cargo run --release --example train_japanese_from_scratch [-- --data FILES]`
//!
//! The recipe is `examples/recipes/japanese.toml`. Of the lines of the corpus the first are for
//! validation, the next for a test at the end, the rest for training. A SentencePiece model is learned
//! from the lines for training, unless the program is given a tokenizer.

use std::path::PathBuf;

use clap::Parser;
use gpt2_core::tokenizer::{Tokenizer, TrainUnigramOptions};
use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_examples::Failure;
use gpt2_examples::training::{Job, JobOptions, Program, Rehearsal, documents};
use gpt2_train::evaluate;
use serde_json::{Map, json};

const PROGRAM: Program = Program {
    language: "Japanese",
    code: "ja",
    recipe: include_str!("recipes/japanese.toml"),
    rehearsal: Rehearsal { scale: 1.0, rates: 20.0, batch_size: 2 },
    prompt: "川は",
    sequences: 3,
};

/// Tokens of the published vocabulary, and of one that the text of this program is enough for.
const VOCAB_SIZE: [usize; 2] = [32_000, 600];

/// Lines for validation and for the test: as published, and of the text of this program.
const HELD_OUT: [usize; 2] = [500_000, 12];

/// Train GPT-2 from scratch in Japanese, by the recipe of a published model.
#[derive(Debug, Parser)]
struct Options {
    /// Folder with a tokenizer [default: one is trained]
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// `config.json` of the model [default: GPT-2 small; a tiny one in a rehearsal]
    #[arg(long, value_name = "config.json")]
    config: Option<PathBuf>,
    /// First lines, held out for validation [default: 500000; 12 in a rehearsal]
    #[arg(long, value_name = "N")]
    valid_lines: Option<usize>,
    /// Next lines, held out for the test [default: 500000; 12 in a rehearsal]
    #[arg(long, value_name = "M")]
    test_lines: Option<usize>,
    /// Everything else.
    #[command(flatten)]
    job: JobOptions,
}

fn main() -> std::process::ExitCode {
    gpt2_examples::exit_code(train(&Options::parse()))
}

fn train(options: &Options) -> Result<(), Failure> {
    let [valid, test, train] = options.split()?;
    let tokenizer = options.tokenizer(&train)?;
    let model = Gpt2::init(&options.model(&tokenizer)?, options.job.seed, &options.job.device()?)?;
    let job = Job {
        program: &PROGRAM,
        options: &options.job,
        model,
        tokenizer,
        generation_config: Some(generation_config()),
        base_model: None,
        train,
        valid,
    };
    let outcome = job.run()?;
    let found = evaluate(&outcome.model, &job.dataset("test", &test)?, 8, |_| Ok(()))?;
    println!("\nTest: loss {:.4}, perplexity {:.2}", found.loss, found.perplexity);
    Ok(())
}

impl Options {
    /// Lines for validation, for the test and for training, in the order of the corpus.
    fn split(&self) -> Result<[Vec<String>; 3], Failure> {
        let texts = match self.job.is_rehearsal() {
            true => vec![include_str!("corpus/japanese.txt").to_string()],
            false => documents(&self.job.data)?,
        };
        let held_out = HELD_OUT[usize::from(self.job.is_rehearsal())];
        let valid = self.valid_lines.unwrap_or(held_out);
        let test = self.test_lines.unwrap_or(held_out);
        let mut lines = texts.iter().flat_map(|text| text.lines()).map(String::from);
        let parts = [valid, test, usize::MAX].map(|count| lines.by_ref().take(count).collect());
        let [_, _, train]: &[Vec<String>; 3] = &parts;
        match train.len() {
            0 => Err(format!("after {valid} + {test} held out lines none is left").into()),
            _ => Ok(parts),
        }
    }

    fn tokenizer(&self, train: &[String]) -> Result<Tokenizer, Failure> {
        if let Some(folder) = &self.tokenizer {
            return Ok(Tokenizer::from_folder(folder)?);
        }
        let default = VOCAB_SIZE[usize::from(self.job.is_rehearsal())];
        let options = TrainUnigramOptions {
            vocab_size: self.job.vocab_size.unwrap_or(default),
            // The recipe leaves the padding, id 0, out of the loss.
            pad_id: 0,
            unk_id: 1,
            bos_id: 2,
            eos_id: 3,
            control_symbols: ["<cls>", "<sep>"].map(String::from).to_vec(),
            input_sentence_size: 10_000_000,
            // As in the author's notebook; the card says the opposite.
            add_dummy_prefix: false,
            seed: self.job.seed,
            ..TrainUnigramOptions::default()
        };
        Ok(Tokenizer::train_unigram(train.iter().cloned(), &options)?)
    }

    fn model(&self, tokenizer: &Tokenizer) -> Result<Gpt2Config, Failure> {
        let config = match &self.config {
            Some(file) => Gpt2Config::from_file(file)?,
            None if self.job.is_rehearsal() => {
                let (n_positions, n_embd, n_layer, n_head) = (64, 64, 3, 4);
                Gpt2Config { n_positions, n_embd, n_layer, n_head, ..Gpt2Config::gpt2() }
            }
            None => Gpt2Config::gpt2(),
        };
        Ok(Gpt2Config {
            vocab_size: tokenizer.vocab_size(),
            bos_token_id: tokenizer.bos_token_id(),
            eos_token_id: tokenizer.eos_token_id().into_iter().collect(),
            ..config
        })
    }
}

/// What `generate` does with the published model unless told otherwise.
fn generation_config() -> Map<String, serde_json::Value> {
    let defaults = [("do_sample", json!(true)), ("top_k", json!(50)), ("top_p", json!(0.95))];
    defaults.map(|(name, value)| (name.to_string(), value)).into_iter().collect()
}
