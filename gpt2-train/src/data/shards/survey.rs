//! A first look at all files: what they are, and whether they can be read to the end.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::tokenize::{PIECE_BYTES, TokenizeProgress};
use crate::data::corpus::{Input, checksum_text};
use crate::data::document::{Document, DocumentReader, TextOptions};
use crate::{Error, Result};

/// What a look at a corpus finds.
pub(super) struct Survey {
    pub inputs: Vec<Input>,
    pub lines: usize,
    pub documents: usize,
}

impl Survey {
    /// Reads all files once, side by side.
    ///
    /// # Errors
    /// As [`read_documents`](crate::data::read_documents); [`Error::Data`] for a record of tokens.
    pub fn new(
        files: &[PathBuf],
        options: TextOptions,
        progress: &(dyn Fn(TokenizeProgress) + Sync),
    ) -> Result<Self> {
        let mut survey = Self { inputs: Vec::new(), lines: 0, documents: 0 };
        let looked: Vec<_> =
            files.par_iter().map(|path| look(path, options, progress)).collect::<Result<_>>()?;
        for (input, lines, documents) in looked {
            survey.inputs.push(input);
            survey.lines += lines;
            survey.documents += documents;
        }
        Ok(survey)
    }
}

/// The file, and how many lines and documents are in it.
fn look(
    path: &Path,
    options: TextOptions,
    progress: &(dyn Fn(TokenizeProgress) + Sync),
) -> Result<(Input, usize, usize)> {
    let mut reader = DocumentReader::open(path, options)?;
    let mut told = 0;
    // Pieces of any tokenizer: nothing is encoded.
    while let Some(piece) = reader.next(PIECE_BYTES, usize::MAX)? {
        if let Document::Tokens(_) = piece.document {
            let reason = "a record of `input_ids`, expected `text`: shards are made of texts, and a \
                          file of records can be trained on as it is";
            return Err(Error::data(path, reader.lines().number(), reason));
        }
        progress(TokenizeProgress::Checked(reader.lines().offset() - told));
        told = reader.lines().offset();
    }
    progress(TokenizeProgress::Checked(reader.lines().offset() - told));
    reader.check_not_empty()?;
    let lines = reader.lines();
    let input = Input {
        path: path.to_path_buf(),
        bytes: lines.offset(),
        checksum: checksum_text(lines.checksum()),
    };
    Ok((input, lines.number(), reader.documents()))
}
