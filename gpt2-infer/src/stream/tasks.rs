//! A stream for async code.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use async_channel::Receiver;
use futures_core::Stream;

use super::{TextPiece, TextStream};
use crate::{Error, Result};

/// Pieces that are made ahead of a reader who is slow.
const AHEAD: usize = 16;

/// A [`TextStream`] that a thread of its own works for, so that polling it never computes.
///
/// It runs on any async runtime. The thread begins at once, is at most a few pieces ahead, and ends
/// with the text, or with the next piece after the stream is dropped. Should it panic, the stream ends
/// with [`Error::Thread`].
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// # use gpt2_core::{ModelFolder, device};
/// # use gpt2_infer::{GenerationConfig, Generator};
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use futures_core::Stream;
///
/// # let folder = ModelFolder::open("kids-stories-model")?;
/// # let tokenizer = folder.tokenizer()?;
/// # let generator = Generator::new(&folder.model(&device::best()?)?).with_tokenizer(&tokenizer);
/// # let options = GenerationConfig::default();
/// let mut stream = generator.stream(&[464, 2068], &options, true)?.into_async()?;
/// let print = async move {
///     // With `futures::StreamExt`: `while let Some(piece) = stream.next().await`.
///     while let Some(piece) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
///         print!("{}", piece?.text);
///     }
///     Ok::<(), gpt2_infer::Error>(())
/// };
/// # drop(print);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncTextStream {
    pieces: Pin<Box<Receiver<Result<TextPiece>>>>,
    /// Whether the last piece or an error has come.
    ended: bool,
}

impl AsyncTextStream {
    pub(super) fn spawn(stream: TextStream) -> Result<Self> {
        let (sender, receiver) = async_channel::bounded(AHEAD);
        let ended = stream.ended;
        let work = move || {
            for piece in stream {
                // Nobody listens any more.
                if sender.send_blocking(piece).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("gpt2-text-stream".to_string());
        thread.spawn(work).map_err(Error::Thread)?;
        Ok(Self { pieces: Box::pin(receiver), ended })
    }
}

impl Stream for AsyncTextStream {
    type Item = Result<TextPiece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.pieces.as_mut().poll_next(cx));
        let last = match &piece {
            Some(Ok(piece)) => piece.finish_reason.is_some(),
            Some(Err(_)) | None => true,
        };
        let ended = self.ended;
        self.ended |= last;
        if piece.is_none() && !ended {
            // A text that breaks off must not look like one that is finished.
            let error = io::Error::other("the thread has panicked");
            return Poll::Ready(Some(Err(Error::Thread(error))));
        }
        Poll::Ready(piece)
    }
}
