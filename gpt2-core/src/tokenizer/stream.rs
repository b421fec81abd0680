//! Decoding one token at a time, for text that appears while it is generated.

use super::sentencepiece::Decoder;
use super::{Engine, Tokenizer};
use crate::Result;

/// Turns ids into text piece by piece; made by [`Tokenizer::decode_stream`].
///
/// A token of byte-level BPE may end in the middle of a character. Such bytes wait until the character is complete, and
/// white space that [`Tokenizer::decode`] leaves out at the end waits for text behind it. So every piece is final: put
/// together, the pieces equal [`Tokenizer::decode`] of all ids. An id costs time in proportion to its own text, however
/// long the stream is. A SentencePiece model with a denormalizer gives its text at the end.
#[derive(Debug, Clone)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    skip_special_tokens: bool,
    state: State,
}

/// What waits between calls.
#[derive(Debug, Clone)]
enum State {
    /// The beginning of a character: at most three bytes.
    Bytes(Vec<u8>),
    SentencePiece(Decoder),
}

impl DecodeStream {
    pub(super) fn new(tokenizer: Tokenizer, skip_special_tokens: bool) -> Self {
        let state = match tokenizer.engine {
            Engine::Bpe(_) => State::Bytes(Vec::new()),
            Engine::SentencePiece(_) => State::SentencePiece(Decoder::default()),
        };
        Self { tokenizer, skip_special_tokens, state }
    }

    /// Takes the next id; returns the text that it completes, if any.
    ///
    /// # Errors
    /// None: an id that is no token's yields no text, as in [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        let skip = self.skip_special_tokens;
        let mut text = String::new();
        match (&self.tokenizer.engine, &mut self.state) {
            (Engine::Bpe(bpe), State::Bytes(pending)) => {
                bpe.append_bytes(id, skip, pending);
                text = take_complete(pending);
            }
            (Engine::SentencePiece(model), State::SentencePiece(decoder)) => {
                decoder.push(model, id, skip, &mut text);
            }
            _ => {}
        }
        Ok(some_text(text))
    }

    /// Ends the stream. Bytes that never became a character come out as U+FFFD, as in [`Tokenizer::decode`].
    ///
    /// # Errors
    /// None.
    pub fn finish(self) -> Result<Option<String>> {
        let mut text = String::new();
        match (&self.tokenizer.engine, self.state) {
            (_, State::Bytes(pending)) => text = String::from_utf8_lossy(&pending).into_owned(),
            (Engine::SentencePiece(model), State::SentencePiece(decoder)) => {
                decoder.finish(model, &mut text);
            }
            _ => {}
        }
        Ok(some_text(text))
    }
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Takes all whole characters out of `bytes`. What can no longer become a character becomes U+FFFD now, because no
/// later byte changes that; only an unfinished character at the end stays.
fn take_complete(bytes: &mut Vec<u8>) -> String {
    let mut waiting = 0;
    if let Some(chunk) = bytes.utf8_chunks().last() {
        let invalid = chunk.invalid();
        if std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none()) {
            waiting = invalid.len();
        }
    }
    let rest = bytes.split_off(bytes.len() - waiting);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::small;

    fn pieces(ids: &[u32], skip: bool) -> Vec<String> {
        let tokenizer = small();
        let mut stream = tokenizer.decode_stream(skip);
        let mut pieces: Vec<_> = ids.iter().filter_map(|id| stream.push(*id).unwrap()).collect();
        pieces.extend(stream.finish().unwrap());
        pieces
    }

    #[test]
    fn streaming_never_splits_a_character() {
        let tokenizer = small();
        let text = "naïve 日本語 🙂👩\u{200d}👩 <|endoftext|>fin";
        let pieces = pieces(&tokenizer.encode_ids(text).unwrap(), false);
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| !piece.contains('\u{FFFD}')));
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn pieces_of_any_ids_make_up_the_whole() {
        let tokenizer = small();
        let mut state = 1_u64;
        for length in 0..400 {
            let ids: Vec<u32> = (0..length)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    ((state >> 33) % (tokenizer.vocab_size() as u64 + 5)) as u32
                })
                .collect();
            for skip in [false, true] {
                assert_eq!(pieces(&ids, skip).concat(), tokenizer.decode(&ids, skip).unwrap());
            }
        }
    }

    #[test]
    fn an_unfinished_character_appears_at_the_end_only() {
        let tokenizer = small();
        let ids = tokenizer.encode_ids("a🚀").unwrap();
        let cut = &ids[..ids.len() - 1];
        assert_eq!(pieces(cut, false), ["a", "\u{FFFD}"]);
    }

    #[test]
    fn bytes_that_cannot_become_a_character_do_not_wait() {
        let tokenizer = small();
        let byte = |text: &str| tokenizer.token_to_id(text).unwrap();
        let mut stream = tokenizer.decode_stream(false);
        // 0xF0, then a letter: the character can no longer be completed.
        assert_eq!(stream.push(byte("ð")).unwrap(), None);
        assert_eq!(stream.push(byte("a")).unwrap().as_deref(), Some("\u{FFFD}a"));
        assert_eq!(stream.finish().unwrap(), None);
    }
}
