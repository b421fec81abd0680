//! Learning a byte-level BPE vocabulary from text.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken as CrateToken, TokenizerImpl};

use super::Tokenizer;
use super::bpe::{Bpe, Splitter, refusal};
use super::bytes::char_of;
use super::files::{SourceFile, SourceFiles};
use super::json::Pipeline;
use super::special::{AddedToken, END_OF_TEXT, Roles, Settings};
use super::vocab::{Entries, MAX_IDS, Vocabulary, check_ids};
use crate::{Error, Result};

/// How a vocabulary is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainBpeOptions {
    /// Tokens to learn, the 256 bytes and the special tokens included. A small corpus may yield fewer.
    pub vocab_size: usize,
    /// Pairs that occur less often than this are not merged.
    pub min_frequency: u64,
    /// Special tokens; they get the first ids, in this order.
    pub special_tokens: Vec<String>,
    /// Draw progress bars on standard error.
    pub show_progress: bool,
}

impl Default for TrainBpeOptions {
    /// GPT-2's vocabulary size, pairs that occur twice, `<|endoftext|>`, no progress bars.
    fn default() -> Self {
        Self {
            vocab_size: 50257,
            min_frequency: 2,
            special_tokens: vec![END_OF_TEXT.to_string()],
            show_progress: false,
        }
    }
}

impl TrainBpeOptions {
    fn check(&self) -> Result<()> {
        let tokens: HashSet<&String> = self.special_tokens.iter().collect();
        if tokens.len() < self.special_tokens.len() || tokens.iter().any(|token| token.is_empty()) {
            let found = format!("{:?}", self.special_tokens);
            return Err(Error::argument("special_tokens", found, "distinct tokens, none empty"));
        }
        let least = 256 + tokens.len();
        let most = MAX_IDS as usize;
        if !(least..=most).contains(&self.vocab_size) {
            let expected =
                format!("{least} (256 bytes and {} special tokens) to {most}", tokens.len());
            return Err(Error::argument("vocab_size", self.vocab_size, expected));
        }
        Ok(())
    }
}

impl Tokenizer {
    /// Learns a byte-level BPE vocabulary from texts, in parallel; the same texts give the same vocabulary.
    ///
    /// Equals Hugging Face's `ByteLevelBPETokenizer().train_from_iterator` with the same options. Texts are independent
    /// of each other: no merge crosses from one into the next. `<|endoftext|>`, or a special token that is the only one,
    /// becomes the token of beginning and end; other tokens have no role.
    ///
    /// # Errors
    /// [`Error::Argument`] for a vocabulary smaller than the bytes and special tokens, or for repeated or empty special
    /// tokens; [`Error::Tokenizer`] when the texts are empty.
    pub fn train_bpe(
        texts: impl Iterator<Item = String> + Send,
        options: &TrainBpeOptions,
    ) -> Result<Self> {
        options.check()?;
        let added = options.special_tokens.iter();
        let added: Vec<_> = added.zip(0..).map(|(t, id)| AddedToken::plain(t, id, true)).collect();
        let vocabulary = learn(texts, options)?;
        let pipeline = Pipeline { vocabulary, added, ..Pipeline::default() };
        let settings = Settings::with_roles(roles(&options.special_tokens));
        Ok(Self::from_bpe(Bpe::new(pipeline)?, settings, SourceFiles::default()))
    }
}

fn roles(special_tokens: &[String]) -> Roles {
    let token = match special_tokens {
        [only] => Some(only),
        several => several.iter().find(|token| *token == END_OF_TEXT),
    };
    Roles { bos: token.cloned(), eos: token.cloned(), unk: token.cloned(), pad: None }
}

fn learn(
    texts: impl Iterator<Item = String> + Send,
    options: &TrainBpeOptions,
) -> Result<Vocabulary> {
    let special = options.special_tokens.iter().map(|token| CrateToken::from(token.clone(), true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(options.vocab_size)
        .min_frequency(options.min_frequency)
        .show_progress(options.show_progress)
        .special_tokens(special.collect())
        .initial_alphabet((0..=255).map(char_of).collect())
        .build();
    let mut learner: TokenizerImpl<BPE, NormalizerWrapper, Splitter, ByteLevel, ByteLevel> =
        TokenizerImpl::new(BPE::default());
    learner.with_pre_tokenizer(Some(Splitter::new(false, false, Vec::new())));
    let any_text = AtomicBool::new(false);
    let texts = texts.inspect(|text| {
        if !text.is_empty() {
            any_text.store(true, Ordering::Relaxed);
        }
    });
    learner.train(&mut trainer, texts).map_err(refusal)?;
    if !any_text.into_inner() {
        let reason = "there is no text to train on, expected at least one character".to_string();
        return Err(Error::Tokenizer { path: None, reason });
    }
    extract(learner.get_model())
}

/// Takes vocabulary and merges out of the crate's model, which shows them only when it is written.
fn extract(model: &BPE) -> Result<Vocabulary> {
    #[derive(serde::Deserialize)]
    struct Learned {
        vocab: Entries,
        merges: Vec<(String, String)>,
    }
    let path = std::path::PathBuf::from("trained model");
    let bytes =
        serde_json::to_vec(model).map_err(|source| Error::Json { path: path.clone(), source })?;
    let file = SourceFile { name: "tokenizer.json", path, bytes };
    let Learned { vocab, merges } = file.json()?;
    let ids = check_ids(vocab).map_err(|reason| file.error(reason))?;
    Ok(Vocabulary { ids, merges })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEXTS, small};
    use super::*;

    fn train(options: &TrainBpeOptions) -> Result<Tokenizer> {
        Tokenizer::train_bpe(TEXTS.iter().map(|text| text.to_string()), options)
    }

    #[test]
    fn special_tokens_come_first_then_the_bytes() {
        let tokenizer = small();
        assert_eq!(tokenizer.token_to_id("<|endoftext|>"), Some(0));
        assert_eq!(tokenizer.id_to_token(1).as_deref(), Some("!"));
        assert_eq!(tokenizer.id_to_token(256).as_deref(), Some("Ń"));
        assert_eq!(tokenizer.vocab_size(), 300);
        assert_eq!(tokenizer.special_ids(), [0]);
        assert_eq!(tokenizer.eos_token_id(), Some(0));
    }

    #[test]
    fn training_is_deterministic() {
        let merges = |tokenizer: &Tokenizer| -> Vec<_> {
            (256..300).map(|id| tokenizer.id_to_token(id)).collect()
        };
        for _ in 0..5 {
            assert_eq!(merges(&small()), merges(&small()));
        }
    }

    #[test]
    fn every_text_can_be_encoded_by_bytes_alone() {
        let options = TrainBpeOptions { vocab_size: 257, ..TrainBpeOptions::default() };
        let tokenizer = train(&options).unwrap();
        assert_eq!(tokenizer.vocab_size(), 257);
        let text = "Ünïcödé 日本";
        assert_eq!(tokenizer.encode(text).unwrap().ids.len(), text.len());
    }

    #[test]
    fn impossible_options_are_refused() {
        let refused = |options: TrainBpeOptions, words: &str| {
            let error = train(&options).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(TrainBpeOptions { vocab_size: 256, ..Default::default() }, "expected 257");
        refused(TrainBpeOptions { vocab_size: usize::MAX, ..Default::default() }, "to 4194304");
        let twice = vec!["<s>".to_string(); 2];
        refused(TrainBpeOptions { special_tokens: twice, ..Default::default() }, "distinct");
        let error = Tokenizer::train_bpe(std::iter::empty(), &TrainBpeOptions::default());
        assert!(error.unwrap_err().to_string().contains("no text to train on"));
    }
}
