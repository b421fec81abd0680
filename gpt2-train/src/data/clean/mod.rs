//! What may be done to a corpus before it is tokenized.

mod near;
mod report;
mod sentences;
mod sieve;

use std::path::{Path, PathBuf};

use gpt2_core::folder::{check_known, write_file, write_folder, write_known};
use rayon::prelude::*;
use serde::Serialize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use self::near::{MinHasher, Signature};
use self::report::Place;
use self::sieve::{Sieve, fingerprint, in_one_line};
use super::document::{Document, DocumentReader, TextOptions, TextUnit};
use super::encoding::EncodingErrors;
use super::text_shards::{TextFormat, TextShards, is_shard};
use crate::{Error, Result};

pub use self::near::{NearOptions, ShingleUnit};
pub use self::report::{CleanReport, DropExample, DropReason, Dropped, KeptOriginal, TextCount};
pub use self::sentences::SentenceSplitter;

/// Bytes of text that are worked on side by side while the next ones are read.
const BATCH_BYTES: usize = 4 << 20;

/// The report in the folder.
const REPORT: &str = "report.json";
/// What is in the folder, in messages.
const WHAT: &str = "a cleaned corpus";

/// How a corpus is cleaned; by [`CleanOptions::default`] not at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleanOptions {
    /// What a document of a file that is not `.jsonl` is.
    pub document_unit: TextUnit,
    /// What is done with bytes that are not UTF-8.
    pub encoding_errors: EncodingErrors,
    /// The Unicode form that texts are brought into.
    pub normalize: Option<Normalization>,
    /// Documents with fewer characters are dropped.
    pub min_characters: usize,
    /// Which repetitions are dropped.
    pub dedup: Option<Dedup>,
    /// Write a sentence a line in `.txt`, a sentence a record in `.jsonl`.
    pub split_sentences: Option<SentenceSplitter>,
    /// The form of what is written.
    pub format: TextFormat,
    /// A file is closed when it has as many bytes.
    pub shard_bytes: u64,
    /// Replace what the folder holds, if that is what an earlier run has made.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Default for CleanOptions {
    /// Everything but empty documents is kept as it is, in `.txt` files of 256 MiB.
    fn default() -> Self {
        Self {
            document_unit: TextUnit::Paragraph,
            encoding_errors: EncodingErrors::Strict,
            normalize: None,
            min_characters: 0,
            dedup: None,
            split_sentences: None,
            format: TextFormat::Txt,
            shard_bytes: 256 << 20,
            overwrite: false,
        }
    }
}

/// A Unicode normalization form (Unicode Standard Annex #15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Characters composed: `e` and an accent are `é`
    Nfc,
    /// Compatible characters made one, too: `ｶﾞ` is `ガ`, `①` is `1`
    Nfkc,
}

/// Which repetitions are dropped. The first of several documents is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dedup {
    /// Documents with the same text, white space apart, after normalization.
    Exact,
    /// Those and documents with almost the same text.
    Near(NearOptions),
}

/// Cleans files into a folder of files, whatever their size.
///
/// Documents are normalized; then those that are too short are dropped, then those that repeat an earlier one; what is left
/// is divided into sentences, if so asked, and written in the order of the files. The same files and options give the same
/// bytes. `progress` is told how many more bytes of the files have been read.
///
/// Memory holds some megabytes of text, or several times the longest document, and to find repetitions about 50 bytes for
/// every document that is kept, or about a kilobyte to find near ones.
///
/// # Errors
/// [`Error::Encoding`]; [`Error::Io`] and [`Error::Data`] naming the file (and line) that cannot be read, that is no text
/// or in which there is none; [`Error::Option`]; [`Error::Dataset`] when nothing is left; [`Error::Core`] for an
/// output folder that holds something. The folder appears whole or not at all.
///
/// # Example
/// ```no_run
/// use gpt2_train::data::{CleanOptions, Dedup, NearOptions, clean_files, find_files};
///
/// let options = CleanOptions {
///     min_characters: 200,
///     dedup: Some(Dedup::Near(NearOptions::default())),
///     ..CleanOptions::default()
/// };
/// let files = find_files(&["corpus".into()])?;
/// let report = clean_files(&files, "clean".as_ref(), &options, &|_| {})?;
/// println!("{} of {} documents", report.kept.documents, report.read.documents);
/// # Ok::<(), gpt2_train::Error>(())
/// ```
pub fn clean_files(
    files: &[PathBuf],
    output: &Path,
    options: &CleanOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CleanReport> {
    if options.shard_bytes == 0 {
        return Err(Error::option("shard_bytes", 0, "at least 1"));
    }
    if let Some(Dedup::Near(near)) = &options.dedup {
        near.check()?;
    }
    let mut report = CleanReport::new(options);
    let write = |folder: &Path| {
        clean(files, folder, options, progress, &mut report)?;
        if report.kept.documents == 0 {
            let reason = format!("nothing is left of {} documents", report.read.documents);
            return Err(Error::Dataset { set: "cleaned", reason });
        }
        let path = folder.join(REPORT);
        let json = serde_json::to_vec_pretty(&report);
        let mut json = json.map_err(|error| Error::io("write", &path)(error.into()))?;
        json.push(b'\n');
        Ok(write_file(path, &json)?)
    };
    if options.overwrite {
        // Asked before the work, not after it.
        check_known(output, WHAT, is_ours)?;
        write_known(output, WHAT, is_ours, write)?;
    } else {
        check_new(output)?;
        write_folder(output, write)?;
    }
    Ok(report)
}

/// Whether a file of this name is one that cleaning writes.
fn is_ours(name: &str) -> bool {
    name == REPORT || is_shard(name)
}

/// Refuses a folder that has content: none is replaced, whatever it holds.
fn check_new(output: &Path) -> Result<()> {
    match std::fs::read_dir(output).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::data(
            output,
            None,
            "the folder has content, expected a new or empty one, or --overwrite",
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", output)(error)),
    }
}

fn clean(
    files: &[PathBuf],
    folder: &Path,
    options: &CleanOptions,
    progress: &(dyn Fn(u64) + Sync),
    report: &mut CleanReport,
) -> Result<()> {
    let preparer = Preparer::new(options);
    let mut reader = Reader { files, options, file: 0, open: None, replaced_lines: 0, progress };
    let mut sieve = Sieve::new(options);
    let mut shards = TextShards::new(folder, options.format, options.shard_bytes);
    let mut batch = reader.next()?;
    while !batch.is_empty() {
        // One batch is read while another is prepared.
        let (prepared, next) = rayon::join(
            || batch.into_par_iter().map(|raw| preparer.prepare(raw)).collect::<Vec<_>>(),
            || reader.next(),
        );
        for document in prepared {
            report.read.add(document.read_characters);
            report.normalized += u64::from(document.is_changed);
            match sieve.judge(&document) {
                Some((reason, original)) => {
                    let Prepared { place, text, read_characters, .. } = &document;
                    report.drop(reason, *place, text, *read_characters, original, files);
                }
                None => {
                    report.kept.add(document.characters);
                    write(&document.text, options, &mut shards, report)?;
                }
            }
        }
        batch = next?;
    }
    report.replaced_lines = reader.replaced_lines;
    (report.shards, report.bytes) = shards.finish()?;
    Ok(())
}

fn write(
    text: &str,
    options: &CleanOptions,
    shards: &mut TextShards,
    report: &mut CleanReport,
) -> Result<()> {
    let Some(splitter) = &options.split_sentences else { return shards.write(text) };
    let sentences: Vec<&str> = splitter.sentences(text).collect();
    report.sentences = report.sentences.map(|count| count + sentences.len() as u64);
    match options.format {
        TextFormat::Txt => shards.write(&sentences.join("\n")),
        TextFormat::Jsonl => sentences.iter().try_for_each(|sentence| shards.write(sentence)),
    }
}

/// A document as it is read.
struct Raw {
    place: Place,
    text: String,
}

/// Reads batches of documents.
struct Reader<'a> {
    files: &'a [PathBuf],
    options: &'a CleanOptions,
    /// Number of the current file.
    file: usize,
    open: Option<DocumentReader>,
    replaced_lines: u64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Reader<'_> {
    /// The next batch, empty at the end of the corpus.
    fn next(&mut self) -> Result<Vec<Raw>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            let Some(path) = self.files.get(self.file) else { break };
            let reader = match &mut self.open {
                Some(reader) => reader,
                empty => {
                    let CleanOptions { document_unit: unit, encoding_errors, .. } = *self.options;
                    let options = TextOptions { unit, encoding_errors };
                    empty.insert(DocumentReader::open(path, options)?)
                }
            };
            let before = reader.lines().offset();
            let piece = reader.next(usize::MAX, usize::MAX)?;
            (self.progress)(reader.lines().offset() - before);
            let Some(piece) = piece else {
                reader.check_not_empty()?;
                self.replaced_lines += reader.lines().replaced();
                (self.file, self.open) = (self.file + 1, None);
                continue;
            };
            let line = reader.first_line();
            let Document::Text(text) = piece.into_document() else {
                let reason = "a record of `input_ids`, expected `text`";
                return Err(Error::data(path, line, reason));
            };
            bytes += text.len().max(1);
            batch.push(Raw { place: Place { file: self.file as u32, line }, text });
        }
        Ok(batch)
    }
}

/// A document, ready to be kept or dropped.
struct Prepared {
    place: Place,
    /// As it would be written.
    text: String,
    characters: usize,
    read_characters: usize,
    /// Whether normalization has changed it.
    is_changed: bool,
    /// What equal texts have in common.
    fingerprint: u128,
    /// Made for what may be kept only.
    signature: Option<Box<Signature>>,
}

/// Does to a document what needs no other one.
struct Preparer<'a> {
    options: &'a CleanOptions,
    hasher: Option<MinHasher>,
}

impl<'a> Preparer<'a> {
    fn new(options: &'a CleanOptions) -> Self {
        let hasher = match &options.dedup {
            Some(Dedup::Near(near)) => Some(MinHasher::new(near)),
            _ => None,
        };
        Self { options, hasher }
    }

    fn prepare(&self, raw: Raw) -> Prepared {
        let read = raw.text.trim();
        let normalized = self.options.normalize.and_then(|form| form.changed(read));
        let is_changed = normalized.is_some();
        let text = match normalized {
            Some(text) => text.trim().to_string(),
            None => read.to_string(),
        };
        let characters = text.chars().count();
        let (mut fingerprint_of, mut signature) = (0, None);
        if self.options.dedup.is_some() && characters >= self.options.min_characters {
            let line = in_one_line(&text);
            fingerprint_of = fingerprint(&line);
            signature = self.hasher.as_ref().map(|hasher| Box::new(hasher.signature(&line)));
        }
        Prepared {
            place: raw.place,
            read_characters: read.chars().count(),
            characters,
            is_changed,
            fingerprint: fingerprint_of,
            signature,
            text,
        }
    }
}

impl Normalization {
    /// The text in this form, if that is another text.
    fn changed(self, text: &str) -> Option<String> {
        let (quick, form): (_, fn(&str) -> String) = match self {
            Self::Nfc => (is_nfc_quick(text.chars()), |text| text.nfc().collect()),
            Self::Nfkc => (is_nfkc_quick(text.chars()), |text| text.nfkc().collect()),
        };
        // Most texts are, and that is seen without a copy.
        (quick != IsNormalized::Yes).then(|| form(text)).filter(|form| form != text)
    }
}

#[cfg(test)]
mod tests;
