//! Text to token ids and back.
//!
//! A [`Tokenizer`] is read from a model folder ([`Tokenizer::from_folder`]) or learned from text
//! ([`Tokenizer::train_bpe`], [`Tokenizer::train_unigram`]), turns text into ids with [`Tokenizer::encode`] and ids into text with
//! [`Tokenizer::decode`] or, while they are being generated, with a [`DecodeStream`]. Ids, offsets and text equal those
//! of Hugging Face's libraries, and for SentencePiece models those of Google's.

mod added;
mod bpe;
mod bytes;
mod cache;
mod encoder;
mod files;
mod fingerprint;
mod json;
mod merge;
mod offsets;
mod save;
mod sentencepiece;
mod special;
mod split;
mod stream;
mod table;
mod train;
mod vocab;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use self::bpe::Bpe;
use self::files::{SourceFile, SourceFiles, TOKENIZER, VOCAB};
use self::json::Pipeline;
use self::sentencepiece::SentencePiece;
use self::special::{Settings, default_roles};
use crate::{Error, Result};

pub use self::stream::DecodeStream;
pub use self::train::{
    BpeTrainer, Forgotten, Normalization, TrainBpeOptions, TrainProgress, TrainUnigramOptions,
    UnigramTrainer,
};

/// The largest multiple that numbers of embeddings are padded to, as kernels of GPUs like it.
const PADDING: usize = 128;

/// A tokenizer: immutable, shared freely between threads; a clone is the same one once more, and costs nothing.
#[derive(Clone)]
pub struct Tokenizer {
    engine: Engine,
    settings: Arc<Settings>,
    /// What it was read from; empty for one that was learned.
    files: Arc<SourceFiles>,
}

/// What does the work.
#[derive(Clone)]
enum Engine {
    Bpe(Arc<Bpe>),
    SentencePiece(Arc<SentencePiece>),
}

/// The same call for either engine.
macro_rules! engine {
    ($tokenizer:expr, $engine:ident => $call:expr) => {
        match &$tokenizer.engine {
            Engine::Bpe($engine) => $call,
            Engine::SentencePiece($engine) => $call,
        }
    };
}

/// A text as ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each id the part of the text that it stands for: first and one past the last, counted in characters (Unicode
    /// code points). Ids that share a character have the same offsets.
    pub offsets: Vec<(usize, usize)>,
}

/// The kinds of tokenizer that a folder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenizerKind {
    /// GPT-2's byte-level BPE.
    ByteLevelBpe,
    /// A SentencePiece model.
    SentencePiece,
}

impl TokenizerKind {
    /// The name on the command line: `bbpe` or `sentencepiece`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByteLevelBpe => "bbpe",
            Self::SentencePiece => "sentencepiece",
        }
    }
}

impl fmt::Display for TokenizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a folder's tokenizer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizerSummary {
    /// The kind.
    pub kind: TokenizerKind,
    /// Number of tokens, added ones included.
    pub vocab_size: usize,
    /// Names of the tokenizer's files in the folder.
    pub files: Vec<String>,
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder.
    ///
    /// It is in `tokenizer.json` or else in `vocab.json` and `merges.txt` (`encoder.json` and `vocab.bpe` in the first
    /// release). `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` are read if they are there;
    /// without them the special token is GPT-2's `<|endoftext|>`, provided that it is in the vocabulary.
    ///
    /// Or it is a SentencePiece model: `spiece.model`, another of the names that Hugging Face's classes give it, or the
    /// only file that ends in `.model`. With none of the three files above beside it, text is decoded as by Google's
    /// library, otherwise as by `transformers`.
    ///
    /// # Errors
    /// [`Error::MissingFile`] when the folder holds no tokenizer, [`Error::Io`], [`Error::Json`] and
    /// [`Error::Tokenizer`] when a file is unreadable or malformed or describes another kind of tokenizer,
    /// [`Error::Format`] for a file that is too large or a malformed SentencePiece model.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let files = SourceFiles::read(folder)?;
        if let Some(model) = sentencepiece_of(&files)? {
            let loaded = SentencePiece::load(model, &files)?;
            return Ok(Self::from_sentencepiece(loaded, files));
        }
        let mut pipeline = match files.get(TOKENIZER) {
            Some(file) => json::read(file)?,
            None => {
                let vocabulary = vocab::read(&files, folder)?;
                Pipeline { vocabulary, ..Pipeline::default() }
            }
        };
        let settings = Settings::read(&files, default_roles())?;
        let added = std::mem::take(&mut pipeline.added);
        pipeline.added = settings
            .merge_into(&mut pipeline.vocabulary.ids, added)
            .map_err(|reason| Error::Tokenizer { path: Some(folder.to_path_buf()), reason })?;
        if let Some(add_prefix_space) = settings.add_prefix_space {
            pipeline.add_prefix_space = add_prefix_space;
        }
        let bpe = Bpe::new(pipeline).map_err(|e| e.in_file(folder))?;
        Ok(Self::from_bpe(bpe, settings, files))
    }

    /// Says what kind of tokenizer a folder holds and how large it is.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`].
    pub fn inspect(folder: impl AsRef<Path>) -> Result<TokenizerSummary> {
        let tokenizer = Self::from_folder(folder)?;
        let (kind, vocab_size) = (tokenizer.kind(), tokenizer.vocab_size());
        Ok(TokenizerSummary { kind, vocab_size, files: tokenizer.files.names() })
    }

    fn from_bpe(bpe: Bpe, settings: Settings, files: SourceFiles) -> Self {
        Self {
            engine: Engine::Bpe(Arc::new(bpe)),
            settings: Arc::new(settings),
            files: Arc::new(files),
        }
    }

    fn from_sentencepiece(
        (model, settings): (SentencePiece, Settings),
        files: SourceFiles,
    ) -> Self {
        Self {
            engine: Engine::SentencePiece(Arc::new(model)),
            settings: Arc::new(settings),
            files: Arc::new(files),
        }
    }

    /// Ids and offsets of a text. No special token is added; those that the text spells out are recognised.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a character that the vocabulary cannot express; a complete vocabulary expresses all, and
    /// SentencePiece has a token for what it does not know.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        engine!(self, engine => engine.encode(text))
    }

    /// [`Tokenizer::encode`] of many texts in parallel, in their order.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Encoding>> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// The ids of a text without their offsets: what a corpus needs, and faster.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_ids(&self, text: &str) -> Result<Vec<u32>> {
        engine!(self, engine => engine.encode_ids(text))
    }

    /// The text of ids, nothing cleaned up. Bytes that are no UTF-8 become U+FFFD; an id that is no token's is left out;
    /// special tokens are, too, if so asked.
    ///
    /// The text of a SentencePiece model alone is Google's: control symbols have none, the unknown token is ` ⁇ `, and the
    /// first space is left out where encoding puts or removes one there. With Hugging Face's files beside it the text is
    /// that of `transformers` 5: tokens as they are spelled, without white space at either end. Bytes become characters
    /// in both.
    ///
    /// # Errors
    /// None, unless feature `sentencepiece` is on and Google's library refuses.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        match &self.engine {
            Engine::Bpe(bpe) => Ok(bpe.decode(ids, skip_special_tokens)),
            Engine::SentencePiece(model) => model.decode(ids, skip_special_tokens),
        }
    }

    /// The text that `ids` add behind `prompt`. It begins with a space where [`Tokenizer::decode`] of `ids` alone would
    /// leave that out, as at the beginning of a text.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_continuation(
        &self,
        prompt: &[u32],
        ids: &[u32],
        skip_special_tokens: bool,
    ) -> Result<String> {
        match &self.engine {
            Engine::Bpe(bpe) => Ok(bpe.decode(ids, skip_special_tokens)),
            Engine::SentencePiece(model) => {
                model.decode_continuation(prompt, ids, skip_special_tokens)
            }
        }
    }

    /// Decodes ids one at a time as they come.
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream {
        DecodeStream::new(self.clone(), skip_special_tokens)
    }

    /// The kind.
    pub fn kind(&self) -> TokenizerKind {
        match self.engine {
            Engine::Bpe(_) => TokenizerKind::ByteLevelBpe,
            Engine::SentencePiece(_) => TokenizerKind::SentencePiece,
        }
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        engine!(self, engine => engine.vocab_size())
    }

    /// The largest id; more than `vocab_size() - 1` where ids are left out.
    pub fn max_id(&self) -> u32 {
        engine!(self, engine => engine.max_id())
    }

    /// Checks that a model has an embedding for every id. It may have more: embeddings are often padded.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when an id is not less than `vocab_size`, the model's number of embeddings.
    pub fn check_fits(&self, vocab_size: usize) -> Result<()> {
        let max_id = self.max_id();
        if (max_id as usize) < vocab_size {
            return Ok(());
        }
        let reason = format!(
            "the tokenizer has ids up to {max_id}, expected less than the model's vocab_size {vocab_size}"
        );
        Err(Error::Tokenizer { path: None, reason })
    }

    /// As [`check_fits`](Self::check_fits), for training: a model may have more embeddings than there are tokens only up
    /// to the next multiple of 128, as padding has it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] with both numbers.
    pub fn check_matches(&self, vocab_size: usize) -> Result<()> {
        let tokens = self.max_id() as usize + 1;
        let most = tokens.next_multiple_of(PADDING);
        if (tokens..=most).contains(&vocab_size) {
            return Ok(());
        }
        let reason = format!(
            "the tokenizer has {tokens} ids and the model vocab_size {vocab_size}, expected {tokens}, or up to {most} with padding"
        );
        Err(Error::Tokenizer { path: None, reason })
    }

    /// The id of a token as the vocabulary spells it (`Ġthe`).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        engine!(self, engine => engine.token_to_id(token))
    }

    /// A token as the vocabulary spells it (`Ġthe`); [`Tokenizer::decode`] gives its text.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        match &self.engine {
            Engine::Bpe(bpe) => bpe.id_to_token(id),
            Engine::SentencePiece(model) => model.piece(id).map(str::to_string),
        }
    }

    /// The ids of special tokens in ascending order: those that [`Tokenizer::decode`] can leave out.
    pub fn special_ids(&self) -> &[u32] {
        engine!(self, engine => engine.special_ids())
    }

    /// The token of a text's beginning, if there is one.
    pub fn bos_token_id(&self) -> Option<u32> {
        self.role(&self.settings.roles.bos)
    }

    /// The token of a text's end, if there is one.
    pub fn eos_token_id(&self) -> Option<u32> {
        self.role(&self.settings.roles.eos)
    }

    /// The token of padding, if there is one; GPT-2 has none.
    pub fn pad_token_id(&self) -> Option<u32> {
        self.role(&self.settings.roles.pad)
    }

    fn role(&self, token: &Option<String>) -> Option<u32> {
        self.token_to_id(token.as_deref()?)
    }

    /// The longest input in tokens, if the folder says so.
    pub fn model_max_length(&self) -> Option<usize> {
        self.settings.model_max_length
    }

    /// Whether a space is put before a text that begins with none; in SentencePiece's words, `add_dummy_prefix`.
    pub fn add_prefix_space(&self) -> bool {
        match &self.engine {
            Engine::Bpe(bpe) => bpe.add_prefix_space(),
            Engine::SentencePiece(model) => model.add_dummy_prefix(),
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("kind", &self.kind())
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}

/// The SentencePiece model, if that is what the folder's tokenizer is.
fn sentencepiece_of(files: &SourceFiles) -> Result<Option<&SourceFile>> {
    let Some(model) = files.model() else { return Ok(None) };
    let is_bpe = match files.get(TOKENIZER) {
        // A `tokenizer.json` beside it may be a conversion of the same model.
        Some(file) => json::model_type(file)?.is_none_or(|kind| kind == "BPE"),
        None => files.get(VOCAB).is_some(),
    };
    Ok((!is_bpe || sentencepiece::class_is_named(files)?).then_some(model))
}

#[cfg(test)]
mod tests;
