//! From files of text to a folder of shards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gpt2_core::tokenizer::Tokenizer;
use rayon::prelude::*;

use super::manifest::{Manifest, ShardJob, SplitEntry};
use super::output::{Found, Output};
use super::survey::Survey;
use super::writer::{SplitWriter, Written};
use crate::data::corpus::{CorpusReader, Place};
use crate::data::document::{Document, TextOptions};
use crate::data::encoding::EncodingErrors;
use crate::data::split::{Split, SplitBy, held_out};
use crate::{Error, Result};

/// Bytes of text that one thread encodes in one go; a longer document is divided where the tokenizer allows that.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Bytes of text that are encoded side by side while the next ones are read.
const BATCH_BYTES: usize = 4 << 20;

/// How a corpus is tokenized.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizeOptions {
    /// Id between documents, if any; usually the end-of-text token.
    pub separator: Option<u32>,
    /// How the corpus is divided.
    pub split: SplitBy,
    /// Tokens of a shard.
    pub shard_tokens: u64,
    /// What is done with bytes that are not UTF-8.
    pub encoding_errors: EncodingErrors,
    /// How often what is done is made permanent; a run that is broken off loses no more.
    pub save_every: Duration,
    /// Replace shards of other files or options that the folder holds, and begin anew where a run was broken off.
    pub overwrite: bool,
}

impl Default for TokenizeOptions {
    /// One part, nothing between documents, shards of 2^27 tokens (256 MiB where ids fit 16 bits), saved every second.
    fn default() -> Self {
        Self {
            separator: None,
            split: SplitBy::Nothing,
            shard_tokens: 1 << 27,
            encoding_errors: EncodingErrors::Strict,
            save_every: Duration::from_secs(1),
            overwrite: false,
        }
    }
}

/// What happens in [`tokenize_files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizeProgress {
    /// So many more bytes have been read in the first pass over the files, on any thread.
    Checked(u64),
    /// So many bytes of the files, of so many, are tokenized.
    Tokenized {
        /// Those that are, in earlier runs too.
        bytes: u64,
        /// All.
        total: u64,
    },
}

/// Tokenizes files in parallel into a folder of shards, whatever their size.
///
/// The tokens are those of the documents encoded whole, joined as [`join`](crate::data::join) does, part by part.
///
/// The files are read twice. First to check them to the end, so that a bad line is found before hours of work, and to
/// know their checksums; then to tokenize them. Memory holds some tens of megabytes, however large the files are, or
/// several times the longest line, or the longest document where the tokenizer must have it
/// whole ([`Tokenizer::encodes_in_parts`]).
///
/// A run that was broken off, by whatever, goes on where it was when it is started again with the same arguments, and the
/// folder will be byte for byte what an uninterrupted run gives. The folder is a data set only when it is whole. One
/// that is already is left as it is.
///
/// # Errors
/// [`Error::Encoding`]; [`Error::Io`] and [`Error::Data`] naming the file (and line) that cannot be read, and for an output folder that holds
/// something else, or shards made from other files, options or another tokenizer, naming what differs;
/// [`Error::Option`] and [`Error::Dataset`] where the corpus cannot be divided so; [`Error::Core`] for a character
/// that the vocabulary cannot express.
///
/// # Example
/// ```no_run
/// use gpt2_core::tokenizer::Tokenizer;
/// use gpt2_train::data::{TokenizeOptions, find_files, tokenize_files};
///
/// let tokenizer = Tokenizer::from_folder("my-model")?;
/// let options =
///     TokenizeOptions { separator: tokenizer.eos_token_id(), ..TokenizeOptions::default() };
/// let files = find_files(&["corpus".into()])?;
/// let manifest = tokenize_files(&files, &tokenizer, "tokens".as_ref(), &options, &|_| {})?;
/// println!("{} tokens", manifest.tokens());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tokenize_files(
    files: &[PathBuf],
    tokenizer: &Tokenizer,
    output: &Path,
    options: &TokenizeOptions,
    progress: &(dyn Fn(TokenizeProgress) + Sync),
) -> Result<Manifest> {
    if options.shard_tokens == 0 {
        return Err(Error::option("shard_tokens", 0, "at least 1"));
    }
    Output::check(output)?;
    let survey = Survey::new(files, text_options(options.encoding_errors), progress)?;
    options.split.check_lines(survey.lines)?;
    let held_out = match options.split {
        SplitBy::Fraction { valid, seed } => held_out(survey.documents, valid, seed)?,
        _ => Vec::new(),
    };
    let job = ShardJob {
        tokenizer: tokenizer.fingerprint(),
        vocab_size: tokenizer.max_id() as usize + 1,
        separator: options.separator,
        split: options.split,
        shard_tokens: options.shard_tokens,
        encoding_errors: options.encoding_errors,
        inputs: survey.inputs,
    };
    let folder = Output::open(output)?;
    let manifest = match folder.find(&job, options.overwrite)? {
        Found::Whole(manifest) => manifest,
        Found::Job(place, written) => {
            let reader = BatchReader::new(files, &job, tokenizer, &held_out, place);
            let writers = writers(output, &job, written)?;
            let work = Work { tokenizer, folder: &folder, save_every: options.save_every, writers };
            folder.finish(job.clone(), work.run(reader, progress)?)?
        }
    };
    folder.tidy()?;
    Ok(manifest)
}

/// Documents of paragraphs.
fn text_options(encoding_errors: EncodingErrors) -> TextOptions {
    TextOptions { encoding_errors, ..TextOptions::default() }
}

fn writers<'a>(
    folder: &'a Path,
    job: &'a ShardJob,
    mut written: BTreeMap<Split, Written>,
) -> Result<BTreeMap<Split, SplitWriter<'a>>> {
    let resume = |split| {
        let written = written.remove(&split).unwrap_or_default();
        Ok((split, SplitWriter::resume(folder, split, job, written)?))
    };
    Split::ALL.into_iter().map(resume).collect()
}

/// Tokenizing under way.
struct Work<'a> {
    tokenizer: &'a Tokenizer,
    folder: &'a Output<'a>,
    save_every: Duration,
    writers: BTreeMap<Split, SplitWriter<'a>>,
}

impl Work<'_> {
    /// Reads one batch while another is encoded, and writes it.
    fn run(
        mut self,
        mut reader: BatchReader,
        progress: &(dyn Fn(TokenizeProgress) + Sync),
    ) -> Result<BTreeMap<Split, SplitEntry>> {
        let mut saved = Instant::now();
        let mut batch = reader.next()?;
        while !batch.pieces.is_empty() {
            let (encoded, next) = rayon::join(|| batch.encode(self.tokenizer), || reader.next());
            for (piece, ids) in batch.pieces.iter().zip(encoded?) {
                if let Some(writer) = self.writers.get_mut(&piece.split) {
                    writer.append(&ids, piece.begins)?;
                }
            }
            if saved.elapsed() >= self.save_every {
                self.save(batch.end)?;
                saved = Instant::now();
            }
            progress(TokenizeProgress::Tokenized { bytes: batch.bytes, total: reader.total() });
            batch = next?;
        }
        let finish = |(_, writer): (Split, SplitWriter)| writer.finish().transpose();
        self.writers.into_iter().filter_map(finish).collect()
    }

    /// Notes how far the work is; what is noted is on the disk by then.
    fn save(&mut self, place: Place) -> Result<()> {
        let sync = |(split, writer): (&Split, &mut SplitWriter)| Ok((*split, writer.sync()?));
        let written = self.writers.iter_mut().map(sync).collect::<Result<_>>()?;
        self.folder.note(place, written)
    }
}

/// Text to encode, with the part of the corpus that it belongs to.
struct TextPiece {
    split: Split,
    begins: bool,
    text: String,
}

/// Texts that are encoded side by side.
struct Batch {
    pieces: Vec<TextPiece>,
    /// Where the reader is behind it.
    end: Place,
    /// Bytes of all files before that.
    bytes: u64,
}

impl Batch {
    fn encode(&self, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>> {
        let encode = |piece: &TextPiece| Ok(tokenizer.encode_ids(&piece.text)?);
        self.pieces.par_iter().map(encode).collect()
    }
}

/// Reads batches.
struct BatchReader<'a> {
    reader: CorpusReader<'a>,
    job: &'a ShardJob,
    /// Of each document whether it is for validation; empty where lines or nothing decide.
    held_out: &'a [bool],
    piece_bytes: usize,
}

impl<'a> BatchReader<'a> {
    fn new(
        files: &'a [PathBuf],
        job: &'a ShardJob,
        tokenizer: &Tokenizer,
        held_out: &'a [bool],
        place: Place,
    ) -> Self {
        let reader = CorpusReader::new(files, text_options(job.encoding_errors), job.split);
        let piece_bytes = if tokenizer.encodes_in_parts() { PIECE_BYTES } else { usize::MAX };
        Self { reader: reader.resume(place, &job.inputs), job, held_out, piece_bytes }
    }

    fn total(&self) -> u64 {
        self.job.inputs.iter().map(|input| input.bytes).sum()
    }

    /// The next batch, empty at the end of the corpus.
    fn next(&mut self) -> Result<Batch> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            let number = self.reader.documents();
            let Some((split, piece)) = self.reader.next(self.piece_bytes)? else { break };
            let split = match self.held_out.get(number) {
                Some(true) => Split::Valid,
                _ => split,
            };
            let begins = piece.begins;
            // The first look has refused all other records.
            if let Document::Text(text) = piece.into_document() {
                bytes += text.len().max(1);
                pieces.push(TextPiece { split, begins, text });
            }
        }
        let end = self.reader.place();
        let before = self.job.inputs.iter().take(end.file).map(|input| input.bytes);
        let bytes = before.sum::<u64>() + end.offset;
        Ok(Batch { pieces, end, bytes })
    }
}
