//! From files to documents.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Example;
use super::encoding::EncodingErrors;
use super::lines::LineReader;
use crate::{Error, Result};

/// One unit of a corpus: a story, an article, or a sequence that is already tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Text that has yet to be tokenized.
    Text(String),
    /// A training sequence that is used as it is.
    Tokens(Example),
}

/// What a document of a file that is not `.jsonl` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TextUnit {
    /// What stands between blank lines, without white space at its end.
    #[default]
    Paragraph,
    /// A line, without white space at its end; blank ones are none.
    Line,
    /// The whole file as it is, blank lines and all.
    File,
}

/// How text files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// What a document is, where a file does not say so.
    pub unit: TextUnit,
    /// What is done with bytes that are not UTF-8.
    pub encoding_errors: EncodingErrors,
}

impl From<TextUnit> for TextOptions {
    /// Such documents, of UTF-8 alone.
    fn from(unit: TextUnit) -> Self {
        Self { unit, ..Self::default() }
    }
}

/// A line of a `.jsonl` file; other keys are allowed and not read.
#[derive(Deserialize)]
struct Record {
    text: Option<String>,
    input_ids: Option<Vec<u32>>,
    labels: Option<Vec<i64>>,
}

/// Reads documents from one file, by its extension.
///
/// - `.jsonl`: a record a line, with `text`, or with `input_ids` and optionally `labels`;
/// - anything else: UTF-8 text, in which blank lines separate documents.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Encoding`] for one that is not UTF-8;
/// [`Error::Data`] naming the line that is not JSON or holds neither kind of record;
/// [`Error::Data`] for a file without documents.
pub fn read_documents(path: impl AsRef<Path>) -> Result<Vec<Document>> {
    let mut reader = DocumentReader::open(path.as_ref(), TextOptions::default())?;
    let mut documents = Vec::new();
    while let Some(piece) = reader.next(usize::MAX, usize::MAX)? {
        documents.push(piece.into_document());
    }
    reader.check_not_empty()?;
    Ok(documents)
}

/// Reads documents from the text of a `.jsonl` file, which messages call `name`.
///
/// # Errors
/// [`Error::Data`] naming the line.
pub fn parse_jsonl(name: &Path, text: &str) -> Result<Vec<Document>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| parse_record(name, index + 1, line)).collect()
}

pub(super) fn parse_record(path: &Path, number: usize, line: &str) -> Result<Document> {
    // Some editors begin a file with a byte order mark.
    let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { line };
    let record: Record = serde_json::from_str(line)
        .map_err(|error| Error::data(path, number, format!("not a JSON record: {error}")))?;
    match record {
        Record { input_ids: Some(input_ids), labels, .. } => {
            Ok(Document::Tokens(Example { input_ids, labels }))
        }
        Record { text: Some(text), .. } => Ok(Document::Text(text)),
        _ => Err(Error::data(path, number, "expected a `text` or `input_ids` field")),
    }
}

/// A document, or a part of one that is too long to be held whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub document: Document,
    /// Whether the document begins here.
    pub begins: bool,
    /// Whether it ends here.
    pub ends: bool,
}

impl Piece {
    fn whole(document: Document) -> Self {
        Self { document, begins: true, ends: true }
    }

    /// The document of a piece that is all of it.
    pub fn into_document(self) -> Document {
        self.document
    }
}

/// What a file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Records,
    Text(TextUnit),
}

/// The documents of one file, one after the other.
pub(super) struct DocumentReader {
    lines: LineReader,
    kind: Kind,
    /// Text of the document under way that has not been given yet.
    open: String,
    /// Whether an earlier part of that document has been given.
    begun: bool,
    /// Line on which the document began that was given last.
    first_line: usize,
    /// Documents that ended.
    documents: usize,
}

impl DocumentReader {
    pub fn open(path: &Path, options: TextOptions) -> Result<Self> {
        Self::open_at(path, options, 0, 0, None)
    }

    /// Goes on where another reader was: behind the first lines, in the middle of a document of
    /// which `open` is what that reader had read and not given.
    pub fn open_at(
        path: &Path,
        options: TextOptions,
        offset: u64,
        number: usize,
        open: Option<String>,
    ) -> Result<Self> {
        let kind = match path.extension().is_some_and(|extension| extension == "jsonl") {
            true => Kind::Records,
            false => Kind::Text(options.unit),
        };
        let lines = LineReader::open(path, options.encoding_errors, offset, number)?;
        let begun = open.is_some();
        Ok(Self {
            lines,
            kind,
            open: open.unwrap_or_default(),
            begun,
            first_line: number,
            documents: 0,
        })
    }

    /// The lines, for where they are.
    pub fn lines(&self) -> &LineReader {
        &self.lines
    }

    /// What has been read of a document that was begun and not given.
    pub fn rest_of_document(&self) -> Option<&str> {
        self.begun.then_some(&self.open)
    }

    /// The line on which the document began that was given last, where this reader has read it.
    pub fn first_line(&self) -> usize {
        self.first_line
    }

    /// Number of documents that have been given whole.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// An error for a file that held no document; made for its end.
    pub fn check_not_empty(&self) -> Result<()> {
        match self.documents {
            0 => Err(Error::data(self.lines.path(), None, "there is no text in this file")),
            _ => Ok(()),
        }
    }

    /// The next document, or the next piece of one where it has `most_bytes` or more; `None` behind line `last_line`
    /// and at the end of the file, either of which ends a document.
    ///
    /// A text is divided before the white space at the end of a line, where [`encodes_in_parts`] holds.
    ///
    /// [`encodes_in_parts`]: gpt2_core::tokenizer::Tokenizer::encodes_in_parts
    pub fn next(&mut self, most_bytes: usize, last_line: usize) -> Result<Option<Piece>> {
        let piece = match self.kind {
            Kind::Records => self.next_record(last_line)?,
            Kind::Text(unit) => self.next_text(unit, most_bytes, last_line)?,
        };
        self.documents += usize::from(piece.as_ref().is_some_and(|piece| piece.ends));
        Ok(piece)
    }

    fn next_record(&mut self, last_line: usize) -> Result<Option<Piece>> {
        while self.lines.number() < last_line {
            if !self.lines.advance()? {
                break;
            }
            let (path, line) = (self.lines.path(), self.lines.line());
            self.first_line = self.lines.number();
            if !line.trim().is_empty() {
                return parse_record(path, self.lines.number(), line).map(Piece::whole).map(Some);
            }
        }
        Ok(None)
    }

    fn next_text(
        &mut self,
        unit: TextUnit,
        most_bytes: usize,
        last_line: usize,
    ) -> Result<Option<Piece>> {
        while self.lines.number() < last_line {
            if !self.lines.advance()? {
                break;
            }
            let line = self.lines.line();
            let is_blank = line.trim().is_empty();
            if is_blank && unit != TextUnit::File {
                if let Some(piece) = self.close() {
                    return Ok(Some(piece));
                }
                continue;
            }
            if self.open.is_empty() && !self.begun {
                self.first_line = self.lines.number();
            }
            self.open.push_str(line);
            if unit == TextUnit::Line {
                return Ok(self.close());
            }
            if !is_blank && self.open.len() >= most_bytes {
                return Ok(Some(self.cut()));
            }
        }
        match unit {
            TextUnit::Paragraph | TextUnit::Line => Ok(self.close()),
            TextUnit::File => Ok(self.close_file()),
        }
    }

    /// What is left of the document that ends here.
    fn close(&mut self) -> Option<Piece> {
        self.open.truncate(self.open.trim_end().len());
        self.end()
    }

    fn close_file(&mut self) -> Option<Piece> {
        match self.open.trim().is_empty() && !self.begun {
            true => None,
            false => self.end(),
        }
    }

    fn end(&mut self) -> Option<Piece> {
        let text = std::mem::take(&mut self.open);
        let begins = !std::mem::take(&mut self.begun);
        (!text.is_empty() || !begins).then_some(Piece {
            document: Document::Text(text),
            begins,
            ends: true,
        })
    }

    /// The text so far, but for the white space at its end, which begins the next piece.
    fn cut(&mut self) -> Piece {
        let rest = self.open.split_off(self.open.trim_end().len());
        let text = std::mem::replace(&mut self.open, rest);
        let begins = !std::mem::replace(&mut self.begun, true);
        Piece { document: Document::Text(text), begins, ends: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn texts(path: &Path, unit: TextUnit) -> Vec<String> {
        let mut reader = DocumentReader::open(path, unit.into()).unwrap();
        let mut texts = Vec::new();
        while let Some(piece) = reader.next(usize::MAX, usize::MAX).unwrap() {
            assert!(piece.begins && piece.ends);
            let Document::Text(text) = piece.document else { panic!("no text") };
            texts.push(text);
        }
        texts
    }

    #[test]
    fn the_line_on_which_a_document_begins_is_known() {
        let first_lines = |name: &str, content: &[u8], unit: TextUnit| {
            let (_folder, path) = file(name, content);
            let mut reader = DocumentReader::open(&path, unit.into()).unwrap();
            let mut lines = Vec::new();
            while reader.next(usize::MAX, usize::MAX).unwrap().is_some() {
                lines.push(reader.first_line());
            }
            lines
        };
        let text = b"\none\ntwo\n\n\nthree\n";
        assert_eq!(first_lines("a.txt", text, TextUnit::Paragraph), [2, 6]);
        assert_eq!(first_lines("a.txt", text, TextUnit::Line), [2, 3, 6]);
        assert_eq!(first_lines("a.txt", text, TextUnit::File), [1]);
        let records = b"\n{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n";
        assert_eq!(first_lines("a.jsonl", records, TextUnit::Line), [2, 4]);
    }

    #[test]
    fn blank_lines_separate_the_documents_of_a_text_file() {
        let (_folder, path) = file("a.txt", b"one\ntwo\n\n\n  \nthree");
        assert_eq!(texts(&path, TextUnit::Paragraph), ["one\ntwo", "three"]);
        assert_eq!(texts(&path, TextUnit::File), ["one\ntwo\n\n\n  \nthree"]);
        assert_eq!(texts(&path, TextUnit::Line), ["one", "two", "three"]);
        let (_folder, blank) = file("a.txt", b"\n  \n");
        assert!(texts(&blank, TextUnit::File).is_empty());
    }

    #[test]
    fn json_lines_hold_text_or_tokens() {
        let lines =
            b"\xef\xbb\xbf{\"text\": \"a\", \"title\": 1}\n\n{\"input_ids\": [1, 2], \"labels\": [-100, 2]}\n";
        let (_folder, path) = file("a.jsonl", lines);
        let example = Example { input_ids: vec![1, 2], labels: Some(vec![-100, 2]) };
        let expected = [Document::Text("a".to_string()), Document::Tokens(example)];
        assert_eq!(read_documents(&path).unwrap(), expected);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (content, part) in [
            (&b"{\"text\": \"a\"}\n{\"text\": 3}\n"[..], "line 2: not a JSON record"),
            (b"{\"title\": \"a\"}\n", "line 1: expected a `text` or `input_ids` field"),
            (b"{\"text\": \"a\"}\n\"\xff\n", "line 2: byte 15 of the file is not UTF-8"),
            (b"\n\n", "there is no text in this file"),
        ] {
            let (_folder, path) = file("a.jsonl", content);
            let message = read_documents(&path).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let missing = read_documents("/nowhere/a.txt").unwrap_err().to_string();
        assert!(missing.contains("/nowhere/a.txt: cannot read"), "{missing}");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_an_error_or_replaced() {
        let (_folder, path) = file("a.txt", b"na\xC3\xAFve\ncaf\xE9 \xF0\x9F\x99 x\n");
        let strict = read_documents(&path).unwrap_err();
        assert!(matches!(strict, Error::Encoding { line: 2, offset: 10, .. }), "{strict:?}");
        let encoding_errors = EncodingErrors::Replace;
        let options = TextOptions { encoding_errors, ..TextOptions::default() };
        let mut reader = DocumentReader::open(&path, options).unwrap();
        let piece = reader.next(usize::MAX, usize::MAX).unwrap().unwrap();
        let expected = "na\u{ef}ve\ncaf\u{FFFD} \u{FFFD} x";
        assert_eq!(piece.into_document(), Document::Text(expected.to_string()));
        assert_eq!(reader.lines().offset(), path.metadata().unwrap().len());
    }

    /// A text with documents of many lines, odd white space, and lines that hold nothing else.
    const TEXT: &str = "  one\ntwo  \n\tthree\n\n\n  \nfour\r\n five\r\n\r\nsix\nseven \u{a0}\n\n";

    #[test]
    fn the_pieces_of_a_document_are_the_document() {
        let (_folder, path) = file("a.txt", TEXT.as_bytes());
        let whole = texts(&path, TextUnit::Paragraph);
        for most_bytes in 1..20 {
            let mut reader = DocumentReader::open(&path, TextOptions::default()).unwrap();
            let mut joined: Vec<String> = Vec::new();
            let mut open = false;
            while let Some(piece) = reader.next(most_bytes, usize::MAX).unwrap() {
                let Document::Text(text) = piece.document else { panic!("no text") };
                assert_eq!(piece.begins, !open);
                assert!(!text.ends_with(char::is_whitespace), "{text:?}");
                match piece.begins {
                    true => joined.push(text),
                    false => {
                        assert!(text.is_empty() || text.starts_with(char::is_whitespace));
                        joined.last_mut().unwrap().push_str(&text);
                    }
                }
                open = !piece.ends;
            }
            assert_eq!(joined, whole, "pieces of {most_bytes}");
            assert_eq!(reader.documents(), whole.len());
        }
    }

    #[test]
    fn a_reader_goes_on_where_another_one_was() {
        let (_folder, path) = file("a.txt", TEXT.as_bytes());
        let rest = |reader: &mut DocumentReader| {
            let mut pieces = Vec::new();
            while let Some(piece) = reader.next(4, usize::MAX).unwrap() {
                pieces.push(piece);
            }
            pieces
        };
        let all = rest(&mut DocumentReader::open(&path, TextOptions::default()).unwrap());
        let mut reader = DocumentReader::open(&path, TextOptions::default()).unwrap();
        for done in 1..all.len() {
            reader.next(4, usize::MAX).unwrap().unwrap();
            let (offset, number) = (reader.lines().offset(), reader.lines().number());
            let open = reader.rest_of_document().map(str::to_string);
            let options = TextOptions::default();
            let again = DocumentReader::open_at(&path, options, offset, number, open);
            assert_eq!(rest(&mut again.unwrap()), all[done..]);
        }
    }

    #[test]
    fn a_last_line_ends_a_document() {
        let (_folder, path) = file("a.txt", b"one\ntwo\nthree\n");
        let mut reader = DocumentReader::open(&path, TextOptions::default()).unwrap();
        let text = |piece: Piece| piece.into_document();
        let next = |reader: &mut DocumentReader, last| reader.next(usize::MAX, last).unwrap();
        assert_eq!(next(&mut reader, 2).map(text), Some(Document::Text("one\ntwo".to_string())));
        assert_eq!(next(&mut reader, 2), None);
        assert_eq!(next(&mut reader, 9).map(text), Some(Document::Text("three".to_string())));
    }
}
