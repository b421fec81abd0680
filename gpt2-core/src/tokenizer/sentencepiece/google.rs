//! Google's own library in the place of our encoder, with feature `sentencepiece`.

use sentencepiece::{SentencePieceError, SentencePieceProcessor};

use super::super::files::SourceFile;
use crate::{Error, Result};

/// A processor of the library.
pub(super) struct Google(SentencePieceProcessor);

impl Google {
    /// # Errors
    /// [`Error::Format`] when the library refuses a model.
    pub(super) fn new(file: &SourceFile) -> Result<Self> {
        let processor = SentencePieceProcessor::from_serialized_proto(&file.bytes);
        processor.map(Self).map_err(|e| Error::format(&file.path, "SentencePiece model", e))
    }

    /// Appends the ids of a text, and where offsets are wanted the bytes of the text that they stand for, which are
    /// counted from `start`.
    pub(super) fn encode(
        &self,
        text: &str,
        start: usize,
        ids: &mut Vec<u32>,
        offsets: Option<&mut Vec<(usize, usize)>>,
    ) -> Result<()> {
        let pieces = self.0.encode(text).map_err(refusal)?;
        ids.extend(pieces.iter().map(|piece| piece.id));
        if let Some(offsets) = offsets {
            let place = |at: u32| start + at as usize;
            offsets.extend(pieces.iter().map(|p| (place(p.span.0), place(p.span.1))));
        }
        Ok(())
    }

    /// The text of ids, all of which are pieces of the model.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        self.0.decode_piece_ids(ids).map_err(refusal)
    }
}

fn refusal(error: SentencePieceError) -> Error {
    Error::Tokenizer { path: None, reason: error.to_string() }
}
