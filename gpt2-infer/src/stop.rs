//! What ends all sequences at once, and the strings that end one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpt2_core::tokenizer::{DecodeStream, Tokenizer};

use crate::{Error, FinishReason, GenerationConfig, Result};

/// Lets another thread end generations.
///
/// Clones are one switch. A generation looks at it before every step and then ends with
/// [`FinishReason::Cancelled`], keeping what there is.
///
/// # Example
/// ```
/// let cancellation = gpt2_infer::Cancellation::new();
/// let other = cancellation.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(cancellation.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// A switch that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the generations that look at it, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was switched on.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What ends all sequences of a generation.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    deadline: Option<Instant>,
    cancellation: Cancellation,
}

impl Limits {
    /// Time runs from now on.
    pub fn new(config: &GenerationConfig, cancellation: &Cancellation) -> Self {
        // A time beyond what the clock can count is no limit.
        let time = config.max_time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        Self { deadline, cancellation: cancellation.clone() }
    }

    /// Whether the caller wants no more.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Why sequences end that nothing of their own has ended.
    pub fn reached(&self) -> Option<FinishReason> {
        if self.is_cancelled() {
            return Some(FinishReason::Cancelled);
        }
        let over = self.deadline.is_some_and(|deadline| Instant::now() > deadline);
        over.then_some(FinishReason::Time)
    }
}

/// Looks for stop strings in a text that comes token by token.
#[derive(Debug, Clone)]
pub(crate) struct StopMatcher {
    strings: Arc<[String]>,
    decoder: DecodeStream,
    /// The end of the text, long enough for every stop string to have begun in it.
    tail: String,
}

impl StopMatcher {
    /// A matcher that has seen the prompt; `None` where there are no stop strings.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no tokenizer.
    pub fn new(
        config: &GenerationConfig,
        tokenizer: Option<&Tokenizer>,
        prompt: &[u32],
    ) -> Result<Option<Self>> {
        if config.stop_strings.is_empty() {
            return Ok(None);
        }
        let tokenizer = tokenizer.ok_or_else(|| {
            let found = format!("{:?}", config.stop_strings);
            Error::option("stop_strings", found, "none without a tokenizer to find them with")
        })?;
        let strings = config.stop_strings.clone().into();
        let mut matcher =
            Self { strings, decoder: tokenizer.decode_stream(false), tail: String::new() };
        for &id in prompt {
            matcher.push(id)?;
        }
        Ok(Some(matcher))
    }

    /// Takes the next token; whether it completes a stop string.
    ///
    /// The string may begin in any token before, the prompt's included. Equals `transformers`'
    /// `StopStringCriteria`.
    ///
    /// # Errors
    /// As [`DecodeStream::push`].
    pub fn push(&mut self, id: u32) -> Result<bool> {
        let Some(piece) = self.decoder.push(id)? else { return Ok(false) };
        let before = self.tail.len();
        self.tail.push_str(&piece);
        let found =
            self.strings.iter().any(|stop| ending_after(before, &self.tail, stop).is_some());
        let longest = self.strings.iter().map(String::len).max().unwrap_or_default();
        keep_end(&mut self.tail, longest);
        Ok(found)
    }
}

/// Where `stop` first occurs in `text` so that it ends after byte `from`.
pub(crate) fn ending_after(from: usize, text: &str, stop: &str) -> Option<usize> {
    let first = (from + 1).saturating_sub(stop.len());
    let rest = text.as_bytes().get(first..)?;
    rest.windows(stop.len()).position(|part| part == stop.as_bytes()).map(|at| first + at)
}

/// Cuts the beginning off, so that at least the last `bytes` bytes stay.
pub(crate) fn keep_end(text: &mut String, bytes: usize) {
    let cut = text.floor_char_boundary(text.len().saturating_sub(bytes));
    text.drain(..cut);
}
