//! [`Generator`]: a model, and what a generation needs beside it.

use std::ops::ControlFlow;

use gpt2_core::Gpt2;
use gpt2_core::tokenizer::Tokenizer;

use crate::logits::{LogitsProcessor, LogitsProcessors, PrefixAllowedTokens};
use crate::pool::CachePool;
use crate::stop::Cancellation;
use crate::stream::TextStream;
use crate::{Error, GenerationConfig, Result, Sequence, Token, beam, session};

/// Bytes that sequences which are computed side by side take, unless the caller says otherwise.
const MEMORY_LIMIT: usize = 2 << 30;

/// Continues prompts with a model.
///
/// It holds what stays the same from call to call: the model, and where they are wanted a
/// tokenizer, a draft model, processors and a switch to cancel. Options come with every call. A
/// clone shares all of that, and costs nothing; calls never share state, so that one generator
/// serves many threads. The memory of key/value caches is kept for the next call.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::{ModelFolder, device};
/// use gpt2_infer::{GenerationConfig, Generator};
///
/// let folder = ModelFolder::open("kids-stories-model")?;
/// let tokenizer = folder.tokenizer()?;
/// let generator =
///     Generator::new(&folder.model(&device::best()?)?).with_tokenizer(&tokenizer);
/// let options = GenerationConfig {
///     num_beams: 4,
///     stop_strings: vec![".".to_string()],
///     ..GenerationConfig::from_pretrained(folder.path(), folder.config())?
/// };
/// let prompt = tokenizer.encode_ids("Ibu berkata")?;
/// for sequence in &generator.generate(&[prompt], &options)?[0] {
///     println!("{:?}: {}", sequence.score, tokenizer.decode(&sequence.ids, true)?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    pub(crate) model: Gpt2,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) draft_model: Option<Gpt2>,
    pub(crate) prefix_allowed_tokens: Option<PrefixAllowedTokens>,
    pub(crate) processors: LogitsProcessors,
    pub(crate) cancellation: Cancellation,
    pub(crate) memory_limit: usize,
    pub(crate) pool: CachePool,
    pub(crate) draft_pool: CachePool,
}

impl Generator {
    /// A generator for a model. A model on a training device is used without dropout and without
    /// gradients.
    #[must_use]
    pub fn new(model: &Gpt2) -> Self {
        Self {
            model: model.valid(),
            tokenizer: None,
            draft_model: None,
            prefix_allowed_tokens: None,
            processors: LogitsProcessors::new(),
            cancellation: Cancellation::new(),
            memory_limit: MEMORY_LIMIT,
            pool: CachePool::default(),
            draft_pool: CachePool::default(),
        }
    }

    /// Adds the tokenizer that `stop_strings` and [`stream`](Self::stream) need.
    #[must_use]
    pub fn with_tokenizer(self, tokenizer: &Tokenizer) -> Self {
        Self { tokenizer: Some(tokenizer.clone()), ..self }
    }

    /// Lets a smaller model of the same vocabulary guess tokens, which the model then checks
    /// several at a time: speculative decoding (Leviathan et al. 2023).
    ///
    /// The result is the same as without, for the same seed too: a token is always chosen by the
    /// model's own scores and the sequence's own random draws, and a guess only decides how many
    /// are chosen in one step. The draft draws with the same numbers, so that where both models
    /// agree it guesses right. Beams and `prompt_lookup_num_tokens` are refused beside it, as in
    /// `transformers`.
    ///
    /// # Errors
    /// [`Error::Option`] when the vocabularies differ in size.
    pub fn with_draft_model(self, draft_model: &Gpt2) -> Result<Self> {
        let [own, other] = [&self.model, draft_model].map(|model| model.config().vocab_size);
        if own != other {
            let expected = format!("one with vocab_size = {own}, as the model has");
            let found = format!("a model with vocab_size = {other}");
            return Err(Error::option("draft_model", found, expected));
        }
        // A clone of this generator may have another draft model, whose caches have other shapes.
        let draft_pool = CachePool::default();
        Ok(Self { draft_model: Some(draft_model.valid()), draft_pool, ..self })
    }

    /// Lets only tokens follow that a function of the text allows, as `transformers`'
    /// `prefix_allowed_tokens_fn`: the way to make a model keep to a grammar or a list.
    #[must_use]
    pub fn with_prefix_allowed_tokens(self, constraint: PrefixAllowedTokens) -> Self {
        Self { prefix_allowed_tokens: Some(constraint), ..self }
    }

    /// Adds a processor of the caller's, which is applied to every sequence after those that forbid
    /// and force tokens and before those that shape a random draw, where `transformers` applies
    /// its `logits_processor`.
    #[must_use]
    pub fn with_processor(mut self, processor: impl LogitsProcessor + 'static) -> Self {
        self.processors.push(processor);
        self
    }

    /// Lets `cancellation` end generations from elsewhere, for good: give the clone of a generator
    /// a switch of its own where single calls are to be ended.
    #[must_use]
    pub fn with_cancellation(self, cancellation: &Cancellation) -> Self {
        Self { cancellation: cancellation.clone(), ..self }
    }

    /// Limits the bytes that caches and scores of sequences take which are computed side by side, 2
    /// GiB unless this says otherwise. More sequences are computed group by group, for the same
    /// result. One sequence, or all beams of one prompt, may take more.
    #[must_use]
    pub fn with_memory_limit(self, bytes: usize) -> Self {
        Self { memory_limit: bytes, ..self }
    }

    /// Continues each prompt, as `num_return_sequences` sequences, by the strategy that the options
    /// ask for.
    ///
    /// Equals `transformers`' `generate` with the same options, up to the random draws. Prompts of
    /// different lengths are read in one batch, and each gives what it gives alone: lengths count,
    /// and penalties see, a row's own tokens and no padding (`transformers` counts padding as
    /// length, and its n-grams see it). One seed gives one result on every run of the same build
    /// and device, and the draws of a prompt do not depend on the other prompts of the batch.
    ///
    /// A GPU chooses tokens itself where the options are greedy or no more than `temperature`, `top_k` and `top_p`: the same
    /// ones, but for draws whose number is at the border of two tokens to the last bits.
    ///
    /// A prompt is read once however many sequences continue it, and a finished sequence leaves
    /// the batch. Sequences beyond the [memory limit](Self::with_memory_limit) wait for others to
    /// end. Beam search returns fewer sequences where the options leave fewer texts. An empty
    /// prompt becomes `bos_token_id`. A text may be one token longer than the model's context,
    /// since the last token is not read; where `transformers` fails with an index error while it
    /// generates, options that lead beyond that are refused before anything is computed, unless
    /// `sliding_window` says how to go on.
    ///
    /// # Errors
    /// [`Error::Option`] naming an option that is out of range, contradicts another one, or does
    /// not fit the prompt or the model; [`Error::Prompt`] for a prompt that is empty (without
    /// `bos_token_id`), too long, or holds an unknown id; [`Error::NoToken`] when options exclude
    /// every token or the model's scores are not finite; [`Error::Core`] when the device fails.
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        config: &GenerationConfig,
    ) -> Result<Vec<Vec<Sequence>>> {
        if config.num_beams > 1 {
            if self.draft_model.is_some() {
                return Err(Error::option("num_beams", config.num_beams, "1 with a draft model"));
            }
            return beam::search(self, prompts, config);
        }
        self.generate_with(prompts, config, |_| ControlFlow::Continue(()))
    }

    /// As [`generate`](Self::generate), and hands every token to `on_token` as soon as it is chosen.
    ///
    /// When `on_token` returns [`ControlFlow::Break`], generation ends there; sequences that were
    /// not finished have [`FinishReason::Cancelled`](crate::FinishReason::Cancelled).
    ///
    /// # Errors
    /// As [`generate`](Self::generate), and [`Error::Option`] with beams, whose tokens are not
    /// settled before the end.
    pub fn generate_with(
        &self,
        prompts: &[Vec<u32>],
        config: &GenerationConfig,
        mut on_token: impl FnMut(Token) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Sequence>>> {
        session::run(self, prompts, config, &mut on_token)
    }

    /// Continues one prompt as text that appears piece by piece.
    ///
    /// With `skip_special_tokens` special tokens are no part of the text. Nothing is computed before
    /// the first piece is asked for, but `max_time` runs from this call on.
    ///
    /// # Errors
    /// As [`generate`](Self::generate), before anything is computed, and [`Error::Option`] without
    /// a tokenizer, with beams or with `num_return_sequences` above 1. What goes wrong later is an
    /// item of the stream.
    ///
    /// # Example
    /// ```no_run
    /// # fn main() -> gpt2_infer::Result<()> {
    /// # use gpt2_core::{ModelFolder, device};
    /// # use gpt2_infer::{GenerationConfig, Generator};
    /// # let folder = ModelFolder::open("kids-stories-model")?;
    /// # let tokenizer = folder.tokenizer()?;
    /// # let generator = Generator::new(&folder.model(&device::best()?)?).with_tokenizer(&tokenizer);
    /// # let options = GenerationConfig::default();
    /// let prompt = tokenizer.encode_ids("Ibu berkata")?;
    /// for piece in generator.stream(&prompt, &options, true)? {
    ///     print!("{}", piece?.text);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(
        &self,
        prompt: &[u32],
        config: &GenerationConfig,
        skip_special_tokens: bool,
    ) -> Result<TextStream> {
        TextStream::start(self, prompt, config, skip_special_tokens)
    }
}
