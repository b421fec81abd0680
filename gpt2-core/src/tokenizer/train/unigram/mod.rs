//! Learning a unigram vocabulary from text: a SentencePiece model.

mod charsmap;
mod darts;
mod divide;
mod lattice;
mod learn;
mod model;
mod options;
mod pieces;
mod seed;
mod segments;
#[cfg(test)]
mod tests;

use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::divide::Divider;
use self::learn::Plan;
use self::options::MetaPieces;
use super::words::{Cost, WordTable};
use super::{Forgotten, TrainProgress, no_text};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::files::{CONFIG, SENTENCEPIECE, SourceFiles};
use crate::tokenizer::sentencepiece::SentencePiece;
use crate::tokenizer::sentencepiece::normalizer::{Normalized, Normalizer, Symbols};
use crate::tokenizer::sentencepiece::proto::ModelProto;
use crate::{Error, Result};

pub use self::options::{Normalization, TrainUnigramOptions};

/// A byte of a part is there as text, as a place among the sorted suffixes, and as some of the frequent substrings.
const COST: Cost = Cost { byte: 24, word: 96 };

/// What a frequent substring costs: its text, its place in the trie, and a number for each task.
const SEED_COST: u64 = 256;

/// Texts that [`Tokenizer::train_unigram`] counts at a time.
const BATCH: usize = 1 << 14;

impl Tokenizer {
    /// Learns a unigram vocabulary from texts, in parallel: a SentencePiece model that Google's library loads. Every line
    /// of a text is a sentence. The same texts and options give the same model, whatever the number of threads.
    ///
    /// Texts are gone through twice where a sample of the sentences is drawn. [`UnigramTrainer`] is for texts that come in
    /// batches, and tells how far it is.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option that is out of range, and for a vocabulary that is too small for the
    /// characters that it has to express; [`Error::Tokenizer`] when there was no text, or too little for the vocabulary.
    pub fn train_unigram(
        texts: impl Iterator<Item = String> + Clone,
        options: &TrainUnigramOptions,
    ) -> Result<Self> {
        let count = |text: String| options.sentences(&text).count() as u64;
        let sentences = if options.samples() { texts.clone().map(count).sum() } else { 0 };
        let mut trainer = UnigramTrainer::new(options.clone(), sentences)?;
        let mut texts = texts.peekable();
        while texts.peek().is_some() {
            let batch: Vec<String> = texts.by_ref().take(BATCH).collect();
            trainer.feed(&batch);
        }
        trainer.train(&mut |_| {})
    }
}

/// Learns a unigram vocabulary from texts that come in batches; every line is a sentence.
///
/// # Example
/// ```
/// use gpt2_core::tokenizer::{TrainUnigramOptions, UnigramTrainer};
///
/// let options = TrainUnigramOptions { vocab_size: 18, ..TrainUnigramOptions::default() };
/// let mut trainer = UnigramTrainer::new(options, 0)?;
/// trainer.feed(&["the cat sat on the mat", "and the cat sat on the hat"]);
/// let tokenizer = trainer.train(&mut |progress| eprintln!("{}", progress.stage))?;
/// assert_eq!(tokenizer.vocab_size(), 18);
/// # Ok::<(), gpt2_core::Error>(())
/// ```
pub struct UnigramTrainer {
    options: TrainUnigramOptions,
    meta_pieces: MetaPieces,
    charsmap: Vec<u8>,
    normalizer: Normalizer,
    divider: Divider,
    sample: Option<Sample>,
    words: WordTable,
}

/// Sentences that are still to be drawn, of those that are still to come (Knuth, "The Art of Computer Programming",
/// 3.4.2, algorithm S).
struct Sample {
    wanted: u64,
    left: u64,
    /// `None` where the first are taken.
    random: Option<ChaCha8Rng>,
}

impl Sample {
    fn takes_next(&mut self) -> bool {
        let is_taken = match &mut self.random {
            _ if self.wanted == 0 => false,
            Some(random) if self.wanted < self.left => {
                random.random_range(0..self.left) < self.wanted
            }
            _ => true,
        };
        self.left = self.left.saturating_sub(1);
        self.wanted -= u64::from(is_taken);
        is_taken
    }
}

impl UnigramTrainer {
    /// A trainer that has seen nothing.
    ///
    /// `sentences` is the number of sentences that will come as [`TrainUnigramOptions::sentences`] counts them. It matters
    /// only where a sample of them is drawn ([`TrainUnigramOptions::samples`]).
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option that is out of range.
    pub fn new(options: TrainUnigramOptions, sentences: u64) -> Result<Self> {
        options.check()?;
        let meta_pieces = options.meta_pieces()?;
        let charsmap = charsmap::charsmap(options.normalization)?;
        let spec = model::normalizer_spec(&options, charsmap.clone());
        let refuse = |reason| Error::Tokenizer { path: None, reason };
        let mut symbols: Vec<(&[u8], u32)> =
            options.user_defined_symbols.iter().map(|symbol| symbol.as_bytes()).zip(0..).collect();
        symbols.sort_unstable();
        let normalizer = Normalizer::new(&spec, false, Symbols::new(&symbols)).map_err(refuse)?;
        let divider = Divider::new(&options, &meta_pieces);
        let sample = (options.input_sentence_size > 0).then(|| Sample {
            wanted: options.input_sentence_size,
            left: sentences,
            random: options.samples().then(|| ChaCha8Rng::seed_from_u64(options.seed)),
        });
        let words = WordTable::default();
        Ok(Self { options, meta_pieces, charsmap, normalizer, divider, sample, words })
    }

    /// Counts the parts of the sentences of more texts, on all cores.
    ///
    /// Where memory is limited, rare words are forgotten between two calls; then the result depends on which texts come
    /// together.
    pub fn feed<S: AsRef<str> + Sync>(&mut self, texts: &[S]) {
        let Self { options, normalizer, divider, sample, words, .. } = self;
        let sentences: Vec<&str> = texts
            .iter()
            .flat_map(|text| options.sentences(text.as_ref()))
            .filter(|_| sample.as_mut().is_none_or(Sample::takes_next))
            .collect();
        words.count(&sentences, |sentence, table| {
            let mut normalized = Normalized::new(false);
            normalizer.normalize(sentence, &mut normalized);
            divider.divide(&String::from_utf8_lossy(&normalized.text), table);
        });
        if let Some(limit) = options.memory_limit {
            words.fit(limit.saturating_sub(seeds(options) as u64 * SEED_COST), &COST);
        }
    }

    /// What the limit of memory has cost so far.
    #[must_use]
    pub fn forgotten(&self) -> Forgotten {
        self.words.forgotten()
    }

    /// Learns the pieces. `progress` is called now and then.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when there was no text, or too little for the vocabulary; [`Error::Argument`] when the
    /// vocabulary is too small for the characters that it has to express.
    pub fn train(self, progress: &mut dyn FnMut(TrainProgress)) -> Result<Tokenizer> {
        let config = model::tokenizer_config(&self.meta_pieces);
        let broken = |source| Error::Json { path: CONFIG.into(), source };
        let config = serde_json::to_vec_pretty(&config).map_err(broken)?;
        let mut files = SourceFiles::default();
        files.insert(SENTENCEPIECE, self.learn(progress)?.encode_to_vec());
        files.insert(CONFIG, config);
        let model = files.model().ok_or_else(no_text)?;
        let loaded = SentencePiece::load(model, &files)?;
        Ok(Tokenizer::from_sentencepiece(loaded, files))
    }

    fn learn(self, progress: &mut dyn FnMut(TrainProgress)) -> Result<ModelProto> {
        let Self { options, meta_pieces, charsmap, divider, words, .. } = self;
        if words.is_empty() {
            return Err(no_text());
        }
        let required = segments::required_characters(&words, &options);
        check_room(required.len(), &meta_pieces, &options)?;
        let segments = segments::without_rare(words, &required)?;
        progress(TrainProgress { stage: "counting substrings", done: 0, total: 1 });
        let max_length = options.max_sentencepiece_length;
        let seeds = seed::seed_pieces(&segments, max_length, seeds(&options), |text| {
            divider.is_piece(text)
        });
        let plan = Plan {
            vocab_size: options.vocab_size,
            shrinking_factor: options.shrinking_factor,
            num_sub_iterations: options.num_sub_iterations,
        };
        let learned = learn::learn(&segments, seeds, &plan, progress);
        let pieces = model::final_pieces(learned, &required, &meta_pieces, &options)?;
        Ok(model::proto(pieces, &meta_pieces, &options, charsmap))
    }
}

/// Substrings to begin with: as many as asked for, and no more than half of the memory allows.
fn seeds(options: &TrainUnigramOptions) -> usize {
    let affordable = options.memory_limit.map(|limit| limit / 2 / SEED_COST);
    let affordable = affordable.and_then(|seeds| usize::try_from(seeds).ok());
    options.seed_sentencepiece_size.min(affordable.unwrap_or(usize::MAX))
}

fn check_room(
    required: usize,
    meta_pieces: &MetaPieces,
    options: &TrainUnigramOptions,
) -> Result<()> {
    let (symbols, size) = (meta_pieces.len(), options.vocab_size);
    if required + symbols <= size {
        return Ok(());
    }
    let least = required + symbols;
    let expected = format!(
        "at least {least} ({required} characters at a `character_coverage` of {}, and {symbols} symbols)",
        options.character_coverage
    );
    Err(Error::argument("vocab_size", size, expected))
}
