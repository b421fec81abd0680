//! Text that appears piece by piece.

mod hold;
mod tasks;

pub use tasks::AsyncTextStream;

use std::ops::ControlFlow;

use gpt2_core::tokenizer::DecodeStream;

use self::hold::HeldText;
use crate::plan::Plan;
use crate::session::{Session, check_tokens};
use crate::stop::Limits;
use crate::{Error, FinishReason, GenerationConfig, Generator, Result, Sequence, Token};

/// A piece of text that was just made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TextPiece {
    /// Whole characters; empty only where the text ends, and before an error.
    pub text: String,
    /// The tokens that were chosen since the last piece. Their text need not be that of the piece: a
    /// character may be waiting for its other bytes, or the beginning of what may become a
    /// stop string.
    pub tokens: Vec<Token>,
    /// Why the text ends with this piece, if it does.
    pub finish_reason: Option<FinishReason>,
}

/// The continuation of a prompt, as an iterator of pieces of text; made by [`Generator::stream`].
///
/// The pieces make up the decoded continuation without the stop string, if one ended it: text that
/// may be the beginning of a stop string waits until it is known not to be. Work is done in
/// `next`, a step at a time, and stops with the last piece or when the stream is dropped; a GPU that chooses
/// tokens itself is a step ahead. After an error the stream has ended.
///
/// It owns what it needs and can go to another thread; [`into_async`](Self::into_async) does so
/// and gives a [`Stream`](futures_core::Stream) for any async runtime.
#[derive(Debug)]
pub struct TextStream {
    session: Session,
    decoder: Option<DecodeStream>,
    held: HeldText,
    prompt_text: String,
    ended: bool,
    /// What has ended it, where a piece had to come before.
    failed: Option<Error>,
}

impl TextStream {
    pub(crate) fn start(
        generator: &Generator,
        prompt: &[u32],
        config: &GenerationConfig,
        skip_special_tokens: bool,
    ) -> Result<Self> {
        if config.num_return_sequences > 1 {
            let expected = "1 where text is wanted as it is made";
            let found = config.num_return_sequences;
            return Err(Error::option("num_return_sequences", found, expected));
        }
        let tokenizer = generator.tokenizer.as_ref().ok_or_else(|| {
            let expected = "one, to make text of tokens: see `Generator::with_tokenizer`";
            Error::option("tokenizer", "missing", expected)
        })?;
        check_tokens(config)?;
        let plan = Plan::new(generator, &[prompt.to_vec()], config, 1)?;
        let limits = Limits::new(config, &generator.cancellation);
        let session = Session::new(generator, plan.rows(0..1), config, limits)?;
        let mut decoder = tokenizer.decode_stream(skip_special_tokens);
        let mut held = HeldText::new(&config.stop_strings);
        let mut prompt_text = String::new();
        for &id in session.prompt() {
            prompt_text.extend(decoder.push(id)?);
        }
        held.was_shown(&prompt_text);
        Ok(Self { session, decoder: Some(decoder), held, prompt_text, ended: false, failed: None })
    }

    /// The prompt's ids as they were read: the begin-of-text token for an empty prompt, and the last
    /// tokens where `truncate_prompt` cut it.
    #[must_use]
    pub fn prompt_ids(&self) -> &[u32] {
        self.session.prompt()
    }

    /// The prompt's text, which the pieces continue. A character that the prompt breaks off in is
    /// part of the first piece.
    #[must_use]
    pub fn prompt_text(&self) -> &str {
        &self.prompt_text
    }

    /// The sequence as far as it has come; cancelled unless it has ended.
    #[must_use]
    pub fn into_sequence(self) -> Sequence {
        // A stream is one row.
        self.session.into_rows().swap_remove(0).finish()
    }

    /// The stream as a [`Stream`](futures_core::Stream), which a thread of its own works for.
    ///
    /// # Errors
    /// [`Error::Thread`] when there can be no more threads.
    pub fn into_async(self) -> Result<AsyncTextStream> {
        AsyncTextStream::spawn(self)
    }

    /// The next tokens, and the text that they complete.
    fn advance(&mut self) -> Result<TextPiece> {
        let mut tokens = Vec::new();
        let flow = self.session.step(&mut |token| {
            tokens.push(token);
            ControlFlow::Continue(())
        })?;
        let mut new = String::new();
        for token in &tokens {
            if let Some(decoder) = &mut self.decoder {
                new.extend(decoder.push(token.id)?);
            }
        }
        if flow.is_continue() {
            let text = self.held.push(&new);
            return Ok(TextPiece { text, tokens, finish_reason: None });
        }
        self.ended = true;
        let reason = self.session.finish_reason();
        new.extend(self.decoder.take().map(DecodeStream::finish).transpose()?.flatten());
        let text = self.held.finish(&new, reason == FinishReason::StopString);
        Ok(TextPiece { text, tokens, finish_reason: Some(reason) })
    }
}

impl Iterator for TextStream {
    type Item = Result<TextPiece>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut tokens = Vec::new();
        while !self.ended {
            match self.advance() {
                Ok(mut piece) => {
                    tokens.append(&mut piece.tokens);
                    if !piece.text.is_empty() || piece.finish_reason.is_some() {
                        return Some(Ok(TextPiece { tokens, ..piece }));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    if tokens.is_empty() {
                        return Some(Err(error));
                    }
                    self.failed = Some(error);
                    return Some(Ok(TextPiece {
                        text: String::new(),
                        tokens,
                        finish_reason: None,
                    }));
                }
            }
        }
        self.failed.take().map(Err)
    }
}
