//! Several files as one corpus.

use std::path::{Path, PathBuf};

use gpt2_core::Gpt2Config;
use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentReader, Piece, TextOptions};
use super::split::{Split, SplitBy, Splits, split};
use crate::{Error, Result};

/// Reads all files, one after the other, and divides their documents.
///
/// Records of tokens are checked against the model.
///
/// # Errors
/// As [`read_documents`](super::read_documents) for each file; [`Error::Data`] naming the line of a record that
/// [`Example::check`](crate::Example::check) refuses; [`Error::Option`] and [`Error::Dataset`] where the corpus cannot be
/// divided so.
pub fn read_corpus(
    files: &[PathBuf],
    options: impl Into<TextOptions>,
    split_by: SplitBy,
    config: &Gpt2Config,
) -> Result<Splits<Vec<Document>>> {
    let mut documents = Splits::<Vec<Document>>::default();
    let mut reader = CorpusReader::new(files, options.into(), split_by);
    while let Some((split, piece)) = reader.next(usize::MAX)? {
        let document = piece.into_document();
        if let Document::Tokens(record) = &document {
            let at_line = |error| Error::data(reader.path(), reader.line(), error);
            record.check("given", config).map_err(at_line)?;
        }
        documents.get_mut(split).push(document);
    }
    split_by.check_lines(reader.lines())?;
    if let SplitBy::Fraction { valid, seed } = split_by {
        (documents.train, documents.valid) = split(documents.train, valid, seed)?;
    }
    Ok(documents)
}

/// A file that a corpus was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// As it was given.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// XXH3-128 of its content, as 32 hexadecimal digits.
    pub checksum: String,
}

/// A checksum as files have it.
pub(super) fn checksum_text(checksum: u128) -> String {
    format!("{checksum:032x}")
}

/// Where a reader is in a corpus: between two pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Index of the file.
    pub file: usize,
    /// Bytes of it that have been read.
    pub offset: u64,
    /// Lines of it that have been read.
    pub line: usize,
    /// Lines of the files before it.
    pub lines_before: usize,
    /// Documents that have been read whole.
    pub documents: usize,
    /// What has been read and not given of a document that has been given in part.
    pub open: Option<String>,
}

/// The documents of several files, each with the part that its lines belong to.
pub(super) struct CorpusReader<'a> {
    files: &'a [PathBuf],
    options: TextOptions,
    split_by: SplitBy,
    /// Where the current file begins, or where to go on in it.
    place: Place,
    reader: Option<DocumentReader>,
    /// What the files are known to be.
    known: &'a [Input],
}

impl<'a> CorpusReader<'a> {
    pub fn new(files: &'a [PathBuf], options: TextOptions, split_by: SplitBy) -> Self {
        Self { files, options, split_by, place: Place::default(), reader: None, known: &[] }
    }

    /// Goes on where another reader was, in files that must not have changed since `known`.
    pub fn resume(self, place: Place, known: &'a [Input]) -> Self {
        Self { place, known, ..self }
    }

    /// The next document or piece of one, as [`DocumentReader::next`] has it.
    pub fn next(&mut self, most_bytes: usize) -> Result<Option<(Split, Piece)>> {
        while let Some(path) = self.files.get(self.place.file) {
            // A document that goes on belongs to the part that its last line did.
            let lines = self.lines().saturating_sub(usize::from(self.is_in_document()));
            let (split, last_line) = self.split_by.part(lines);
            let last_line = match last_line {
                usize::MAX => usize::MAX,
                last => last - self.place.lines_before,
            };
            let reader = match &mut self.reader {
                Some(reader) => reader,
                empty => {
                    let Place { offset, line, open, .. } = self.place.clone();
                    empty.insert(DocumentReader::open_at(path, self.options, offset, line, open)?)
                }
            };
            if let Some(piece) = reader.next(most_bytes, last_line)? {
                self.place.documents += usize::from(piece.ends);
                return Ok(Some((split, piece)));
            }
            if reader.lines().number() < last_line {
                self.close_file()?;
            }
        }
        Ok(None)
    }

    fn close_file(&mut self) -> Result<()> {
        let Some(reader) = self.reader.take() else { return Ok(()) };
        // One that was not read from its beginning may have had its documents before.
        let from_beginning = self.place.offset == 0;
        if from_beginning {
            reader.check_not_empty()?;
        }
        if let Some(known) = self.known.get(self.place.file) {
            let same =
                !from_beginning || known.checksum == checksum_text(reader.lines().checksum());
            if !same || known.bytes != reader.lines().offset() {
                let reason = "the file was changed while it was being read";
                return Err(Error::data(&known.path, None, reason));
            }
        }
        self.place = Place {
            file: self.place.file + 1,
            lines_before: self.place.lines_before + reader.lines().number(),
            documents: self.place.documents,
            ..Place::default()
        };
        Ok(())
    }

    fn is_in_document(&self) -> bool {
        match &self.reader {
            Some(reader) => reader.rest_of_document().is_some(),
            None => self.place.open.is_some(),
        }
    }

    /// Where the reader is.
    pub fn place(&self) -> Place {
        let Some(reader) = &self.reader else { return self.place.clone() };
        Place {
            offset: reader.lines().offset(),
            line: reader.lines().number(),
            open: reader.rest_of_document().map(str::to_string),
            ..self.place
        }
    }

    /// Number of documents that have been given whole.
    pub fn documents(&self) -> usize {
        self.place.documents
    }

    /// The file that is being read, for messages.
    fn path(&self) -> &Path {
        self.files.get(self.place.file).map_or(Path::new(""), PathBuf::as_path)
    }

    /// The line of it that was read last, for messages.
    fn line(&self) -> usize {
        self.reader.as_ref().map_or(self.place.line, |reader| reader.lines().number())
    }

    /// Lines that have been read, of all files.
    fn lines(&self) -> usize {
        self.place.lines_before + self.line()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TextUnit;

    /// Texts of each part, of two files that are ten lines together.
    fn read(split_by: SplitBy) -> Result<[Vec<String>; 3]> {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("a.txt", "one\ntwo\n\nthree\nfour"),
            ("b.jsonl", "{\"text\":\"five\"}\n\n{\"text\":\"six\"}\n{\"text\":\"seven\"}\n\n"),
        ]
        .map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let config = Gpt2Config::gpt2();
        let Splits { train, valid, test } =
            read_corpus(&files, TextUnit::Paragraph, split_by, &config)?;
        let text = |document| match document {
            Document::Text(text) => text,
            Document::Tokens(_) => panic!("no text"),
        };
        Ok([train, valid, test].map(|part| part.into_iter().map(text).collect()))
    }

    #[test]
    fn lines_are_counted_over_all_files_and_end_documents() {
        let by = |valid, test| SplitBy::Lines { valid, test };
        let [train, valid, test] = read(by(1, 3)).unwrap();
        assert_eq!(valid, ["one"]);
        assert_eq!(test, ["two", "three"]);
        assert_eq!(train, ["four", "five", "six", "seven"]);
        // A part that ends with a file.
        let [train, valid, test] = read(by(5, 1)).unwrap();
        assert_eq!(valid, ["one\ntwo", "three\nfour"]);
        assert_eq!((test, train.len()), (vec!["five".to_string()], 2));
        let [train, valid, test] = read(by(0, 7)).unwrap();
        assert!(valid.is_empty());
        assert_eq!((test.len(), train.len()), (3, 2));
        assert!(read(by(6, 4)).is_err());
    }

    #[test]
    fn a_long_document_ends_where_its_part_does() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a.txt")];
        std::fs::write(&files[0], "one\ntwo\nthree\nfour\nfive\n").unwrap();
        let by = SplitBy::Lines { valid: 2, test: 2 };
        for most_bytes in [1, 5, 100] {
            let mut reader = CorpusReader::new(&files, TextOptions::default(), by);
            let mut texts = Splits::<String>::default();
            let mut ends = Vec::new();
            loop {
                // Each piece by a reader of its own, which goes on where the last one was.
                reader = CorpusReader::new(&files, TextOptions::default(), by)
                    .resume(reader.place(), &[]);
                let Some((split, piece)) = reader.next(most_bytes).unwrap() else { break };
                ends.extend(piece.ends.then_some(split));
                let Document::Text(text) = piece.document else { panic!("no text") };
                texts.get_mut(split).push_str(&text);
            }
            assert_eq!(ends, [Split::Valid, Split::Test, Split::Train]);
            assert_eq!((&*texts.valid, &*texts.test), ("one\ntwo", "three\nfour"));
            assert_eq!(texts.train, "five");
        }
    }

    #[test]
    fn a_share_is_held_out_as_split_does() {
        let all = read(SplitBy::Nothing).unwrap()[0].clone();
        let [train, valid, _] = read(SplitBy::Fraction { valid: 0.4, seed: 3 }).unwrap();
        assert_eq!((train, valid), split(all, 0.4, 3).unwrap());
    }
}
