//! Learning a byte-level BPE vocabulary from text.

mod merges;

use std::collections::{HashMap, HashSet};

use self::merges::{Merges, Pair, Words};
use super::words::{Cost, WordTable};
use super::{Forgotten, TrainProgress, check_memory, no_text};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::bpe::Bpe;
use crate::tokenizer::bytes::char_of;
use crate::tokenizer::files::SourceFiles;
use crate::tokenizer::json::Pipeline;
use crate::tokenizer::special::{AddedToken, END_OF_TEXT, Roles, Settings};
use crate::tokenizer::split::words;
use crate::tokenizer::vocab::{MAX_IDS, Vocabulary};
use crate::{Error, Result};

/// Texts that [`Tokenizer::train_bpe`] counts at a time, in bytes.
const BATCH_BYTES: usize = 8 << 20;

/// A byte of a word is there twice, as text and as a token, and up to three times in lists of pairs, which
/// grow by doubling; a pair costs little in comparison.
const COST: Cost = Cost { byte: 24, word: 80 };

/// Steps between two reports.
const REPORTED: usize = 100;

/// How a byte-level BPE vocabulary is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainBpeOptions {
    /// Tokens to learn, the 256 bytes and the special tokens included. A small corpus yields fewer.
    pub vocab_size: usize,
    /// Pairs that occur less often than this are not merged.
    pub min_frequency: u64,
    /// Special tokens; they get the first ids, in this order.
    pub special_tokens: Vec<String>,
    /// Whether a corpus that yields fewer tokens than asked for is refused.
    pub hard_vocab_limit: bool,
    /// Bytes of memory that learning may need. Where distinct words would need more, the rarest are forgotten, and the
    /// vocabulary is no longer exactly that of the corpus. Without it no word is forgotten.
    pub memory_limit: Option<u64>,
}

impl Default for TrainBpeOptions {
    /// GPT-2's vocabulary size, pairs that occur twice, `<|endoftext|>`, no limits.
    fn default() -> Self {
        Self {
            vocab_size: 50257,
            min_frequency: 2,
            special_tokens: vec![END_OF_TEXT.to_string()],
            hard_vocab_limit: false,
            memory_limit: None,
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
        check_memory(self.memory_limit)
    }
}

impl Tokenizer {
    /// Learns a byte-level BPE vocabulary from texts, in parallel; the same texts give the same vocabulary.
    ///
    /// Equals Hugging Face's `ByteLevelBPETokenizer().train_from_iterator` with the same options. Texts are independent
    /// of each other: no merge crosses from one into the next. `<|endoftext|>`, or a special token that is the only one,
    /// becomes the token of beginning and end; other tokens have no role. [`BpeTrainer`] is for texts that come in
    /// batches, and tells how far it is.
    ///
    /// # Errors
    /// [`Error::Argument`] for a vocabulary smaller than the bytes and special tokens, for repeated or empty special
    /// tokens, or for a limit of memory that is too low; [`Error::Tokenizer`] when the texts are empty or, if the options
    /// say so, yield too few tokens.
    pub fn train_bpe(
        texts: impl Iterator<Item = String> + Send,
        options: &TrainBpeOptions,
    ) -> Result<Self> {
        let mut trainer = BpeTrainer::new(options.clone())?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for text in texts {
            bytes += text.len();
            batch.push(text);
            if bytes >= BATCH_BYTES {
                trainer.feed(&batch);
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        trainer.feed(&batch);
        trainer.train(&mut |_| {})
    }
}

/// Learns a byte-level BPE vocabulary from texts that come in batches.
///
/// # Example
/// ```
/// use gpt2_core::tokenizer::{BpeTrainer, TrainBpeOptions};
///
/// let options = TrainBpeOptions { vocab_size: 260, ..TrainBpeOptions::default() };
/// let mut trainer = BpeTrainer::new(options)?;
/// trainer.feed(&["the cat sat on the mat", "and the cat sat on the hat"]);
/// let tokenizer = trainer.train(&mut |progress| eprintln!("{}", progress.stage))?;
/// assert_eq!(tokenizer.vocab_size(), 260);
/// # Ok::<(), gpt2_core::Error>(())
/// ```
pub struct BpeTrainer {
    options: TrainBpeOptions,
    words: WordTable,
}

impl BpeTrainer {
    /// A trainer that has seen nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Tokenizer::train_bpe`].
    pub fn new(options: TrainBpeOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options, words: WordTable::default() })
    }

    /// Counts the words of more texts, on all cores.
    ///
    /// Where memory is limited, rare words are forgotten between two calls; then the result depends on which texts come
    /// together.
    pub fn feed<S: AsRef<str> + Sync>(&mut self, texts: &[S]) {
        self.words.count(texts, |text, table| {
            for word in words(text) {
                // No word is longer than a token's place can say; nothing that long is ever a token.
                if u32::try_from(word.len()).is_ok() {
                    table.add(word, 1);
                }
            }
        });
        if let Some(limit) = self.options.memory_limit {
            self.words.fit(limit, &COST);
        }
    }

    /// What the limit of memory has cost so far.
    #[must_use]
    pub fn forgotten(&self) -> Forgotten {
        self.words.forgotten()
    }

    /// Learns the merges. `progress` is called now and then with the tokens that there are.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] as [`Tokenizer::train_bpe`].
    pub fn train(self, progress: &mut dyn FnMut(TrainProgress)) -> Result<Tokenizer> {
        let Self { options, words } = self;
        if words.is_empty() {
            return Err(no_text());
        }
        let vocabulary = learn(words, &options, progress);
        let found = vocabulary.ids.len();
        if options.hard_vocab_limit && found < options.vocab_size {
            let reason = format!(
                "the corpus is too small for a vocabulary of {}, expected a `vocab_size` of at most {found}",
                options.vocab_size
            );
            return Err(Error::Tokenizer { path: None, reason });
        }
        let added = options.special_tokens.iter();
        let added: Vec<_> = added.zip(0..).map(|(t, id)| AddedToken::plain(t, id, true)).collect();
        let pipeline = Pipeline { vocabulary, added, ..Pipeline::default() };
        let settings = Settings::with_roles(roles(&options.special_tokens));
        Ok(Tokenizer::from_bpe(Bpe::new(pipeline)?, settings, SourceFiles::default()))
    }
}

fn roles(special_tokens: &[String]) -> Roles {
    let token = match special_tokens {
        [only] => Some(only),
        several => several.iter().find(|token| *token == END_OF_TEXT),
    };
    Roles { bos: token.cloned(), eos: token.cloned(), unk: token.cloned(), pad: None }
}

/// Tokens by id and back.
#[derive(Default)]
struct Tokens {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Tokens {
    /// The id of a token, which may be there already: different pairs can spell the same.
    fn id(&mut self, name: String) -> u32 {
        *self.ids.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            (self.names.len() - 1) as u32
        })
    }
}

fn learn(
    words: WordTable,
    options: &TrainBpeOptions,
    progress: &mut dyn FnMut(TrainProgress),
) -> Vocabulary {
    let mut tokens = Tokens::default();
    for token in &options.special_tokens {
        tokens.id(token.clone());
    }
    let mut alphabet: Vec<(char, u8)> = (0..=255).map(|byte| (char_of(byte), byte)).collect();
    alphabet.sort_unstable();
    let mut bytes = [0; 256];
    for (c, byte) in alphabet {
        bytes[usize::from(byte)] = tokens.id(c.to_string());
    }
    let mut report =
        |stage, done| progress(TrainProgress { stage, done, total: options.vocab_size });
    report("counting pairs", 0);
    let symbols = Words::new(words.iter(), &bytes);
    drop(words);
    let mut waiting = Merges::new(symbols);
    let mut learned: Vec<Pair> = Vec::new();
    while tokens.names.len() < options.vocab_size {
        let Some((pair, words)) = waiting.next(options.min_frequency) else { break };
        let name = |id: u32| tokens.names[id as usize].as_str();
        let name = [name(pair.0), name(pair.1)].concat();
        let token = tokens.id(name);
        learned.push(pair);
        waiting.merge(pair, token, &words);
        if learned.len().is_multiple_of(REPORTED) {
            report("merging pairs", tokens.names.len());
        }
    }
    let name = |id: u32| tokens.names[id as usize].clone();
    let merges = last_of_each(learned).map(|(left, right)| (name(left), name(right))).collect();
    Vocabulary { merges, ids: tokens.ids }
}

/// Each pair once, in the order of the times when it was merged last, which is how the reference writes a pair that it
/// has merged twice.
fn last_of_each(learned: Vec<Pair>) -> impl Iterator<Item = Pair> {
    let last: HashMap<Pair, usize> = learned.iter().copied().zip(0..).collect();
    learned
        .into_iter()
        .enumerate()
        .filter(move |(at, pair)| last[pair] == *at)
        .map(|(_, pair)| pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::{TEXTS, small};

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

    /// A corpus, and what Hugging Face's trainer made of it; see `make.py` beside them.
    const CORPUS: &str = include_str!("../../../../tests/fixtures/train/corpus.txt");
    const FILES: [(&str, &str); 3] = [
        ("vocab.json", include_str!("../../../../tests/fixtures/train/vocab.json")),
        ("merges.txt", include_str!("../../../../tests/fixtures/train/merges.txt")),
        ("tokenizer.json", include_str!("../../../../tests/fixtures/train/tokenizer.json")),
    ];

    #[test]
    fn files_are_those_of_hugging_faces_trainer_to_the_byte() {
        let special_tokens = ["<|endoftext|>", "<pad>"].map(str::to_string).to_vec();
        let options = TrainBpeOptions { vocab_size: 500, special_tokens, ..Default::default() };
        let lines = CORPUS.split_inclusive('\n').map(str::to_string);
        let folder = tempfile::tempdir().unwrap();
        Tokenizer::train_bpe(lines, &options).unwrap().save(folder.path()).unwrap();
        for (name, expected) in FILES {
            let found = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(found == expected, "{name}");
        }
    }

    #[test]
    fn a_hard_limit_refuses_too_little_text() {
        let options = TrainBpeOptions { hard_vocab_limit: true, ..Default::default() };
        let error = train(&options).unwrap_err().to_string();
        assert!(error.contains("too small for a vocabulary of 50257"), "{error}");
        let options = TrainBpeOptions { vocab_size: 300, min_frequency: 1, ..options };
        assert_eq!(train(&options).unwrap().vocab_size(), 300);
    }

    #[test]
    fn nothing_depends_on_batches_or_threads() {
        let fingerprint = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options =
                TrainBpeOptions { vocab_size: 300, min_frequency: 1, ..Default::default() };
            let mut trainer = BpeTrainer::new(options).unwrap();
            pool.install(|| TEXTS.iter().for_each(|text| trainer.feed(&[text])));
            trainer.train(&mut |_| {}).unwrap().fingerprint()
        };
        assert_eq!(fingerprint(1), small().fingerprint());
        assert_eq!(fingerprint(4), small().fingerprint());
    }
}
