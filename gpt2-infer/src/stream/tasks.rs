//! A stream for async code.

use std::pin::Pin;
use std::task::{Context, Poll};
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
/// with the text, or with the next piece after the stream is dropped.
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
///     gpt2_infer::Result::Ok(())
/// };
/// # drop(print);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncTextStream(Pin<Box<Receiver<Result<TextPiece>>>>);

impl AsyncTextStream {
    pub(super) fn spawn(stream: TextStream) -> Result<Self> {
        let (sender, receiver) = async_channel::bounded(AHEAD);
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
        Ok(Self(Box::pin(receiver)))
    }
}

impl Stream for AsyncTextStream {
    type Item = Result<TextPiece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}
