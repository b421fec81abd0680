//! A small model folder with all that a published one has, made in seconds.

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config};
use gpt2_train::{Dataset, Example, NoCallback, Trainer, TrainingConfig};

use crate::Failure;

/// Context of the model: the texts of the cards are shorter.
const POSITIONS: usize = 128;

/// Writes a model folder whose model knows the lines of `text` by heart.
///
/// # Errors
/// When the device fails or the folder cannot be written.
pub fn home_made(text: &str, folder: &Path, device: &Device) -> Result<(), Failure> {
    // Of so little text, every word may become a token.
    let options =
        TrainBpeOptions { vocab_size: 800, min_frequency: 1, ..TrainBpeOptions::default() };
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let tokenizer = Tokenizer::train_bpe(lines.iter().map(|line| line.to_string()), &options)?;
    let config = Gpt2Config {
        vocab_size: tokenizer.vocab_size(),
        n_positions: POSITIONS,
        n_embd: 64,
        // So that a recipe with three groups of blocks finds a block for each.
        n_layer: 3,
        n_head: 4,
        bos_token_id: tokenizer.bos_token_id(),
        eos_token_id: tokenizer.eos_token_id().into_iter().collect(),
        ..Gpt2Config::gpt2()
    };
    let model = train(Gpt2::init(&config, 1, device)?, &tokenizer, &lines)?;
    let folder_content = ModelToSave {
        model: &model,
        tokenizer: Some(&tokenizer),
        generation_config: None,
        card: None,
        dtype: StoredDType::F32,
    };
    Ok(folder_content.save(folder)?)
}

/// Reads every line until it is known by heart.
fn train(model: Gpt2, tokenizer: &Tokenizer, lines: &[&str]) -> Result<Gpt2, Failure> {
    let example = |line: &&str| -> Result<Example, Failure> {
        let mut ids = tokenizer.encode_ids(line)?;
        ids.extend(tokenizer.eos_token_id());
        ids.truncate(POSITIONS);
        Ok(Example::new(ids))
    };
    let examples = lines.iter().map(example).collect::<Result<Vec<_>, _>>()?;
    let data = Dataset::new("training", examples, model.config())?;
    let trainer = Trainer::new(TrainingConfig {
        max_steps: Some(60),
        learning_rate: 5e-3,
        dropout: Some(0.0),
        ..TrainingConfig::default()
    })?;
    Ok(trainer.run(model, &data, None, &mut NoCallback)?.model)
}
