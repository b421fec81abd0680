//! Everything that has to be there before the first step: stories, tokenizer, model.

use burn::tensor::Device;
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder};
use gpt2_examples::Failure;
use gpt2_examples::training::{documents, stories};
use gpt2_train::Dataset;
use gpt2_train::data::{block_size, blocks, split};

use crate::options::Options;

/// The stories that come with the program; `examples/corpus/README.md` describes them.
const CORPUS: &str = include_str!("../corpus/cerita_anak.jsonl");

/// Training sequences of a published model are no longer than this unless asked for: stories are
/// short, and memory grows with the square.
const BLOCK_SIZE: usize = 256;

/// Context of a new model: half a story, and many steps even where there is little text.
const NEW_BLOCK_SIZE: usize = 128;

/// What a run starts from.
pub struct Start {
    pub model: Gpt2,
    pub tokenizer: Tokenizer,
    pub train: Dataset,
    pub valid: Dataset,
    stories: [usize; 2],
    new: bool,
}

impl Start {
    pub fn new(options: &Options, device: &Device) -> Result<Self, Failure> {
        let texts = match options.data.as_slice() {
            [] => stories(CORPUS)?,
            files => documents(files)?,
        };
        let (train, valid) = split(texts, options.valid_fraction, options.training.seed)?;
        let stories = [train.len(), valid.len()];
        let (tokenizer, model) = match &options.model {
            Some(model) => {
                let folder = ModelFolder::open(ModelFolder::locate(model, &mut |_| {})?)?;
                (folder.tokenizer()?, folder.model(device)?)
            }
            None => new_model(options, &train, device)?,
        };
        let config = model.config();
        let given = options.block_size.unwrap_or(BLOCK_SIZE.min(config.n_positions));
        let block_size = block_size(Some(given), config)?;
        let dataset = |set, texts: &[String]| -> Result<Dataset, Failure> {
            let ids = texts
                .iter()
                .map(|text| tokenizer.encode_ids(text))
                .collect::<Result<Vec<_>, _>>()?;
            let examples = blocks(&ids, tokenizer.eos_token_id(), block_size);
            Ok(Dataset::new(set, examples, config)?)
        };
        let (train, valid) = (dataset("training", &train)?, dataset("validation", &valid)?);
        Ok(Self { model, tokenizer, train, valid, stories, new: options.model.is_none() })
    }

    /// What will happen, for the person who waits.
    pub fn describe(&self) -> String {
        let config = self.model.config();
        let [train, valid] = self.stories;
        let origin = match self.new {
            true => "A new model of a size fit for so much text",
            false => "The model",
        };
        format!(
            "{train} stories to train on ({} tokens), {valid} held out ({} tokens).\n\
             {origin}: {} layers of width {}, {} heads, vocabulary {}, {:.2} million parameters.",
            self.train.scored(),
            self.valid.scored(),
            config.n_layer,
            config.n_embd,
            config.n_head,
            config.vocab_size,
            config.parameter_count() as f64 / 1e6
        )
    }

    /// The paragraph of the card.
    pub fn summary(&self) -> String {
        let origin = if self.new { "trained from scratch" } else { "fine-tuned" };
        let [train, valid] = self.stories;
        format!(
            "A GPT-2 language model {origin} on {train} children's stories; {valid} more were held \
             out to measure it."
        )
    }
}

/// A tokenizer and random weights, both made for the stories.
fn new_model(
    options: &Options,
    texts: &[String],
    device: &Device,
) -> Result<(Tokenizer, Gpt2), Failure> {
    let settings = TrainBpeOptions { vocab_size: options.vocab_size, ..TrainBpeOptions::default() };
    let tokenizer = Tokenizer::train_bpe(texts.iter().cloned(), &settings)?;
    let bytes = texts.iter().map(String::len).sum();
    let (n_layer, n_embd) = size_for(bytes);
    let n_embd = options.n_embd.unwrap_or(n_embd);
    let config = Gpt2Config {
        vocab_size: tokenizer.vocab_size(),
        n_positions: options.block_size.unwrap_or(NEW_BLOCK_SIZE),
        n_embd,
        n_layer: options.n_layer.unwrap_or(n_layer),
        n_head: options.n_head.unwrap_or((n_embd / 32).max(1)),
        bos_token_id: tokenizer.bos_token_id(),
        eos_token_id: tokenizer.eos_token_id().into_iter().collect(),
        ..Gpt2Config::gpt2()
    };
    let model = Gpt2::init(&config, options.training.seed, device)?;
    Ok((tokenizer, model))
}

/// Layers and width for so many bytes of text: about as many parameters as ten epochs have tokens,
/// which is what such a run can put to use, and no more than minutes allow on a CPU.
fn size_for(bytes: usize) -> (usize, usize) {
    match bytes {
        0..=400_000 => (4, 128),
        400_001..=2_000_000 => (6, 192),
        _ => (6, 256),
    }
}
