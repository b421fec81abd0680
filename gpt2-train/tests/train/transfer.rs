//! Vocabulary transfer.

use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder, device};
use gpt2_train::{VocabularyTransfer, transfer_vocabulary};

const WIDTH: usize = 8;

fn tokenizer(text: &str, special: &str) -> Tokenizer {
    let options = TrainBpeOptions {
        vocab_size: 270,
        min_frequency: 1,
        special_tokens: vec![special.to_string()],
        ..TrainBpeOptions::default()
    };
    Tokenizer::train_bpe(std::iter::once(text.to_string()), &options).unwrap()
}

fn values(model: &Gpt2, name: &str) -> Vec<f32> {
    let parameters = model.parameters();
    parameters.iter().find(|parameter| parameter.name == name).unwrap().to_vec().unwrap()
}

/// A model folder with an embedding of more rows than there are tokens, and its transfer.
fn transferred(tie_word_embeddings: bool) -> (Gpt2, Tokenizer, VocabularyTransfer) {
    let config = Gpt2Config {
        vocab_size: 300,
        n_positions: 8,
        n_embd: WIDTH,
        n_layer: 1,
        n_head: 2,
        tie_word_embeddings,
        ..Gpt2Config::gpt2()
    };
    let device = device::test_device();
    let old = Gpt2::init(&config, 3, &device).unwrap();
    let old_tokenizer = tokenizer("one two three one two three", "<|endoftext|>");
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("old");
    ModelToSave {
        model: &old,
        tokenizer: Some(&old_tokenizer),
        generation_config: None,
        card: None,
        dtype: StoredDType::F32,
    }
    .save(&folder)
    .unwrap();
    let new = tokenizer("satu dua tiga satu dua tiga", "<end>");
    let transfer = transfer_vocabulary(&ModelFolder::open(folder).unwrap(), new, &device).unwrap();
    (old, old_tokenizer, transfer)
}

fn check_table(name: &str, old: &Gpt2, old_tokenizer: &Tokenizer, transfer: &VocabularyTransfer) {
    let (before, after) = (values(old, name), values(&transfer.model, name));
    let mean = |column: usize| {
        let column = before.iter().skip(column).step_by(WIDTH);
        column.map(|&value| f64::from(value)).sum::<f64>() / 300.0
    };
    for (id, row) in after.chunks(WIDTH).enumerate() {
        let token = transfer.tokenizer.id_to_token(id as u32).unwrap();
        match old_tokenizer.token_to_id(&token) {
            Some(old_id) => {
                let kept = &before[old_id as usize * WIDTH..][..WIDTH];
                assert_eq!(row, kept, "{name} {token}");
            }
            None => {
                for (column, &value) in row.iter().enumerate() {
                    let apart = (f64::from(value) - mean(column)).abs();
                    assert!(apart < 1e-9, "{name} {token}: {apart:e}");
                }
            }
        }
    }
}

#[test]
fn shared_tokens_keep_their_rows_and_the_others_get_the_mean() {
    let (old, old_tokenizer, transfer) = transferred(true);
    check_table("wte.weight", &old, &old_tokenizer, &transfer);
    assert_eq!(transfer.kept + transfer.filled, transfer.tokenizer.vocab_size());
    assert!(transfer.kept >= 256 && transfer.filled >= 2, "{} {}", transfer.kept, transfer.filled);
    assert!(transfer.model.lm_head.is_none());
}

#[test]
fn a_head_of_its_own_is_transferred_like_the_embedding() {
    let (old, old_tokenizer, transfer) = transferred(false);
    check_table("wte.weight", &old, &old_tokenizer, &transfer);
    check_table("lm_head.weight", &old, &old_tokenizer, &transfer);
    assert_ne!(values(&old, "lm_head.weight"), values(&old, "wte.weight"));
}

#[test]
fn everything_but_the_tables_stays_and_the_specials_follow_the_tokenizer() {
    let (old, _, transfer) = transferred(true);
    for parameter in old.parameters().iter().filter(|parameter| parameter.name != "wte.weight") {
        let name = &parameter.name;
        assert_eq!(parameter.to_vec().unwrap(), values(&transfer.model, name), "{name}");
    }
    let config = transfer.model.config();
    assert_eq!(config.vocab_size, transfer.tokenizer.vocab_size());
    assert_eq!(config.bos_token_id, transfer.tokenizer.bos_token_id());
    assert_eq!((&config.eos_token_id[..], config.pad_token_id), (&[0][..], None));
}
